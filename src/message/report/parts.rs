//! The leaves of a MIME message, decoded: as deep and as many as a report has them, and no more.
//!
//! Structure is cut by an own hand because nothing may grow with what a sender nests; content types, charsets and
//! transfer encodings are mail-parser's.

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::html::html_to_text;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{ContentType, MessageParser, MimeHeaders as _};

use super::fields::{Fields, next_line};

/// How deep multiparts nest in what is read. Reports have two or three levels.
const MOST_LEVELS: usize = 6;
/// Leaves that are read.
const MOST_PARTS: usize = 64;
/// Octets of a header section that are looked at for the content type.
const MOST_HEADER: usize = 64 * 1024;

/// A part that holds no other parts.
#[derive(Debug)]
pub struct Part<'x> {
    pub fields: Fields<'x>,
    /// Lower case, "text/plain" where nothing is said.
    pub kind: String,
    /// What it holds, decoded.
    pub text: String,
    /// A boundary stands behind it, or the message has none.
    pub whole: bool,
}

/// A message's parts.
#[derive(Debug, Default)]
pub struct Parts<'x> {
    pub leaves: Vec<Part<'x>>,
    /// The outermost type, lower case.
    pub outer: String,
    /// `report-type` of a multipart/report, lower case.
    pub report_type: Option<String>,
    /// Something lies too deep, or there are too many; or a boundary is missing at the end.
    pub cut: bool,
}

/// Takes a message apart. `body` follows `fields`, which are the message's own.
pub fn read<'x>(octets: &'x [u8]) -> (Fields<'x>, Parts<'x>) {
    let mut parts = Parts::default();
    let (fields, body) = Fields::read(octets);
    let header = octets.get(..octets.len() - body.len()).unwrap_or_default();
    let typed = Typed::read(header);
    parts.outer = typed.kind.clone();
    parts.report_type = typed.report_type.clone();
    parts.descend(None, &typed, body, true, 0);
    (fields, parts)
}

/// What a header section says of the content.
struct Typed {
    kind: String,
    boundary: Option<String>,
    charset: Option<String>,
    report_type: Option<String>,
    encoding: String,
}

impl Typed {
    fn read(header: &[u8]) -> Self {
        let header = header.get(..MOST_HEADER).unwrap_or(header);
        let message = MessageParser::new().with_mime_headers().parse_headers(header);
        let part = message.as_ref().map(mail_parser::Message::root_part);
        let kind = part.and_then(|part| part.content_type());
        let attribute = |name| kind.and_then(|kind: &ContentType| kind.attribute(name)).map(str::to_owned);
        let encoding = part.and_then(|part| part.content_transfer_encoding());
        Self {
            kind: kind.map_or_else(
                || "text/plain".to_owned(),
                |kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()).to_ascii_lowercase(),
            ),
            boundary: attribute("boundary").filter(|it| !it.is_empty() && it.len() <= 200),
            charset: attribute("charset"),
            report_type: attribute("report-type").map(|it| it.to_ascii_lowercase()),
            encoding: encoding.unwrap_or_default().trim().to_ascii_lowercase(),
        }
    }
}

impl<'x> Parts<'x> {
    fn descend(&mut self, fields: Option<Fields<'x>>, typed: &Typed, body: &'x [u8], whole: bool, level: usize) {
        if let Some(boundary) = typed.boundary.as_ref().filter(|_| typed.kind.starts_with("multipart/")) {
            let (pieces, closed) = pieces(body, boundary.as_bytes(), MOST_PARTS);
            self.cut |= !closed;
            if level >= MOST_LEVELS {
                self.cut = true;
                return;
            }
            let last = pieces.len();
            for (at, piece) in pieces.into_iter().enumerate() {
                if self.leaves.len() >= MOST_PARTS {
                    self.cut = true;
                    return;
                }
                let (fields, body) = Fields::read(piece);
                let header = piece.get(..piece.len() - body.len()).unwrap_or_default();
                self.descend(Some(fields), &Typed::read(header), body, whole && (closed || at + 1 < last), level + 1);
            }
            // A report whose boundary never comes is read as text.
            if last > 0 || whole && level > 0 {
                return;
            }
        }
        let kind = if typed.kind.starts_with("multipart/") { "text/plain".to_owned() } else { typed.kind.clone() };
        let text = decode(typed, body);
        let text = if kind == "text/html" { html_to_text(&text) } else { text };
        self.leaves.push(Part { fields: fields.unwrap_or_default(), kind, text, whole });
    }
}

/// A body's octets as text.
fn decode(typed: &Typed, body: &[u8]) -> String {
    let decoded = match typed.encoding.as_str() {
        "base64" => {
            // A cut may leave half a quantum.
            let symbols: Vec<u8> = body.iter().copied().filter(|it| !it.is_ascii_whitespace()).collect();
            symbols.get(..symbols.len() / 4 * 4).and_then(base64_decode)
        }
        "quoted-printable" => quoted_printable_decode(body),
        _ => None,
    };
    let octets = decoded.as_deref().unwrap_or(body);
    // UTF-8 is so seldom anything else by chance that it beats a wrong label.
    let wide = octets.iter().any(|octet| !octet.is_ascii()) || octets.contains(&0x1b);
    match std::str::from_utf8(octets) {
        Ok(text) if !octets.contains(&0x1b) => text.to_owned(),
        _ => match typed.charset.as_ref().filter(|_| wide).and_then(|it| charset_decoder(it.as_bytes())) {
            Some(decoder) => decoder(octets),
            None => String::from_utf8_lossy(octets).into_owned(),
        },
    }
}

/// The octets between boundaries, and whether the closing one came.
fn pieces<'x>(body: &'x [u8], boundary: &[u8], most: usize) -> (Vec<&'x [u8]>, bool) {
    let mut pieces = Vec::new();
    let mut start = None;
    let mut rest = body;
    while !rest.is_empty() {
        let at = body.len() - rest.len();
        let (line, behind) = next_line(rest);
        rest = behind;
        let Some(tail) = line.strip_prefix(b"--").and_then(|it| it.strip_prefix(boundary)) else { continue };
        let closing = tail.starts_with(b"--");
        // A longer boundary that begins alike belongs to an inner multipart.
        if !closing && !tail.trim_ascii().is_empty() {
            continue;
        }
        if let Some(piece) = start.and_then(|start| body.get(start..at)) {
            pieces.push(piece);
        }
        if closing {
            return (pieces, true);
        }
        start = Some(body.len() - rest.len());
        if pieces.len() >= most {
            return (pieces, false);
        }
    }
    if let Some(piece) = start.and_then(|start| body.get(start..)) {
        pieces.push(piece);
    }
    (pieces, false)
}
