//! What the replies of the upstream will answer.

use crate::trace::{Envelope, Recipient};

/// What a reply of the upstream will answer.
#[derive(Debug)]
pub(super) enum Expect {
    Banner,
    /// The proxy's own EHLO, STARTTLS or AUTH.
    Negotiation,
    /// The client's STARTTLS, in a session that is passed through.
    StartTls,
    Ehlo,
    Helo,
    Auth,
    /// RSET and MAIL FROM of the proxy's own, before the recipient that chose the upstream.
    LateReset,
    LateMail,
    /// Without the envelope if the transaction was begun before this reply.
    Mail(Option<Box<Envelope>>),
    Rcpt(Box<Recipient>),
    /// XFORWARD of the proxy's own, before MAIL FROM.
    Xforward,
    Data,
    EndOfData,
    Bdat {
        last: bool,
    },
    Rset,
    Quit,
    /// Anything else; octets of a line that may be a secret, so that its echo can be recognised.
    Other {
        secret: Option<Box<[u8]>>,
    },
    /// Not the upstream's: a reply of the proxy's own that waits for its turn, and what of a transaction it refuses.
    Own(Box<super::OwnReply>, Option<Refused>),
}

/// What the proxy itself refuses, for the record.
#[derive(Debug)]
pub(super) enum Refused {
    Mail(Box<Envelope>),
    Recipient(Box<Recipient>),
}

impl Expect {
    /// Whether 3xx, which asks for more, can answer it; nothing that can is taken for broken.
    pub fn may_ask_for_more(&self) -> bool {
        !matches!(self, Self::Mail(_) | Self::Rcpt(_) | Self::Rset | Self::Quit | Self::Ehlo | Self::Helo)
    }
}

#[derive(Debug)]
pub(super) struct Pending {
    pub expect: Expect,
    pub sent_at: u64,
}
