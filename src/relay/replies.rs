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
    /// Without codes and trace id.
    text: String,
    trace: RecordId,
}

impl OwnReply {
    pub fn new(code: u16, enhanced: (u8, u16, u16), text: impl AsRef<str>, trace: RecordId) -> Self {
        Self { code, enhanced: Some(enhanced), text: format!("relayscope: {}", clean(text.as_ref())), trace }
    }

    /// In the place of a greeting or of the reply to EHLO: the host name first, no enhanced code.
    pub fn greeting(code: u16, host_name: &str, text: impl AsRef<str>, trace: RecordId) -> Self {
        Self { code, enhanced: None, text: format!("{host_name} relayscope: {}", clean(text.as_ref())), trace }
    }

    /// In the greeting's place to a client that isn't let in: not even the host name.
    pub fn at_the_door(code: u16, text: impl AsRef<str>, trace: RecordId) -> Self {
        Self { code, enhanced: None, text: format!("relayscope: {}", clean(text.as_ref())), trace }
    }

    /// The same, leading the admin to this record.
    pub fn naming(&self, trace: RecordId) -> Self {
        Self { trace, ..self.clone() }
    }

    /// The line with its CRLF.
    pub fn line(&self) -> Vec<u8> {
        format!("{}\r\n", self.text_line()).into_bytes()
    }

    pub fn text_line(&self) -> String {
        let Self { code, enhanced, text, trace } = self;
        match enhanced {
            Some((class, subject, detail)) => format!("{code} {class}.{subject}.{detail} {text} (trace {trace})"),
            None => format!("{code} {text} (trace {trace})"),
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
