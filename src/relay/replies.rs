//! Every reply the proxy gives of its own, in one place. ARCHITECTURE.md has the same table for the admin.
//!
//! A reply names the proxy, the stage and the cause, and ends with the trace id. In the greeting's and EHLO's place there is no
//! enhanced status code (RFC 2034 §4).

use crate::trace::RecordId;

/// A reply of the proxy's own, ready to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnReply {
    pub code: u16,
    pub enhanced: Option<(u8, u16, u16)>,
    /// Without code and enhanced code, with the trace id.
    pub text: String,
}

impl OwnReply {
    pub fn new(code: u16, enhanced: (u8, u16, u16), text: impl AsRef<str>, trace: RecordId) -> Self {
        Self { code, enhanced: Some(enhanced), text: format!("relayscope: {} (trace {trace})", clean(text.as_ref())) }
    }

    /// In the place of a greeting or of the reply to EHLO: the host name first, no enhanced code.
    pub fn greeting(code: u16, host_name: &str, text: impl AsRef<str>, trace: RecordId) -> Self {
        Self { code, enhanced: None, text: format!("{host_name} relayscope: {} (trace {trace})", clean(text.as_ref())) }
    }

    /// The line with its CRLF.
    pub fn line(&self) -> Vec<u8> {
        format!("{}\r\n", self.text_line()).into_bytes()
    }

    pub fn text_line(&self) -> String {
        match self.enhanced {
            Some((class, subject, detail)) => format!("{} {class}.{subject}.{detail} {}", self.code, self.text),
            None => format!("{} {}", self.code, self.text),
        }
    }

    pub fn record(&self) -> crate::trace::Reply {
        let text = self.text_line();
        crate::trace::Reply { code: self.code, enhanced: self.enhanced, lines: vec![text.get(4..).unwrap_or_default().to_owned()] }
    }
}

/// One line of printable ASCII, bounded: replies may quote an upstream's words (RFC 5321 §4.5.3.1.5).
fn clean(text: &str) -> String {
    text.chars().map(|it| if it.is_ascii_graphic() || it == ' ' { it } else { '?' }).take(400).collect()
}
