//! What the demo's smart host does, by address: what stands before the @ decides.

/// What an address makes the smart host do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Behaviour {
    Accept,
    /// A late 250 to end-of-data.
    Slow,
    /// Refused at the first attempt, accepted at the next.
    Greylist(&'static str),
    /// This reply to the command that names the address.
    Refuse(&'static str),
    /// This reply, and the connection is closed.
    Close(&'static str),
    /// This reply to end-of-data: for all recipients.
    RefuseMessage(&'static str),
    /// The connection is closed in the middle of the message.
    DropInMessage,
    /// The message is read to its end, and the connection closed without a reply.
    DropAfterMessage,
}

/// One address of the script.
#[derive(Debug, Clone, Copy)]
pub struct Scripted {
    pub local_part: &'static str,
    pub behaviour: Behaviour,
    /// In few words, for the person who tries it.
    pub does: &'static str,
}

const fn scripted(local_part: &'static str, behaviour: Behaviour, does: &'static str) -> Scripted {
    Scripted { local_part, behaviour, does }
}

/// Recipients that are not simply accepted.
pub const RECIPIENTS: &[Scripted] = &[
    scripted(
        "unknown",
        Behaviour::Refuse("550 5.1.1 Recipient address rejected: User unknown in virtual mailbox table\r\n"),
        "user unknown: 550 5.1.1 to RCPT TO",
    ),
    scripted(
        "full",
        Behaviour::Refuse("452 4.2.2 The recipient's mailbox is full and can't accept messages now\r\n"),
        "mailbox full: 452 4.2.2 to RCPT TO",
    ),
    scripted(
        "limit",
        Behaviour::Refuse("451 4.7.1 Daily sending limit reached: 500 of 500 messages; try again tomorrow\r\n"),
        "daily sending limit reached: 451 4.7.1 to RCPT TO",
    ),
    scripted(
        "greylist",
        Behaviour::Greylist("450 4.7.1 Greylisted, please try again in a few minutes\r\n"),
        "greylisting: 450 4.7.1 at first, accepted when tried again",
    ),
    scripted(
        "blocked",
        Behaviour::Refuse("550 5.7.1 Service unavailable; client host [192.0.2.25] blocked using bl.example\r\n"),
        "blocklisted: 550 5.7.1 to RCPT TO",
    ),
    scripted(
        "closing",
        Behaviour::Close("421 4.3.2 Service shutting down, closing channel\r\n"),
        "shutting down: 421 4.3.2 to RCPT TO, and closes",
    ),
    scripted(
        "spam",
        Behaviour::RefuseMessage("554 5.7.1 Message rejected as spam by content filter (score 9.7)\r\n"),
        "content filter: 554 5.7.1 to end-of-data",
    ),
    scripted("disk", Behaviour::RefuseMessage("452 4.3.1 Insufficient system storage\r\n"), "server's disk full: 452 4.3.1 to end-of-data"),
    scripted("slow", Behaviour::Slow, "slow: accepts a few seconds after end-of-data"),
    scripted("hangup", Behaviour::DropInMessage, "closes the connection in the middle of the message (if it is a large one)"),
    scripted("drop", Behaviour::DropAfterMessage, "closes the connection after end-of-data without a reply: was it delivered or not?"),
];

/// Senders that are not simply accepted.
pub const SENDERS: &[Scripted] = &[
    scripted("busy", Behaviour::Refuse("451 4.3.2 System overloaded, please try again later\r\n"), "overloaded: 451 4.3.2 to MAIL FROM"),
    scripted(
        "stranger",
        Behaviour::Refuse("553 5.7.1 Sender address rejected: not owned by your account\r\n"),
        "sender not allowed: 553 5.7.1 to MAIL FROM",
    ),
];

/// What `address` does; whatever its domain, and whatever follows a `+`.
pub fn behaviour(table: &[Scripted], address: &[u8]) -> Behaviour {
    let local_part = address.split(|&octet| matches!(octet, b'@' | b'+')).next().unwrap_or_default();
    let found = table.iter().find(|scripted| local_part.eq_ignore_ascii_case(scripted.local_part.as_bytes()));
    found.map_or(Behaviour::Accept, |scripted| scripted.behaviour)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_part_decides() {
        assert_eq!(behaviour(RECIPIENTS, b"slow@a.example"), Behaviour::Slow);
        assert_eq!(behaviour(RECIPIENTS, b"SLOW+x@b.example"), Behaviour::Slow);
        assert_eq!(behaviour(RECIPIENTS, b"slower@a.example"), Behaviour::Accept);
        assert_eq!(behaviour(RECIPIENTS, b"busy@a.example"), Behaviour::Accept);
        assert_eq!(behaviour(SENDERS, b""), Behaviour::Accept);
    }

    #[test]
    fn replies_are_whole_lines_of_the_right_class() {
        for scripted in RECIPIENTS.iter().chain(SENDERS) {
            let (Behaviour::Refuse(reply) | Behaviour::Close(reply) | Behaviour::Greylist(reply) | Behaviour::RefuseMessage(reply)) =
                scripted.behaviour
            else {
                continue;
            };
            assert!(reply.ends_with("\r\n") && reply.starts_with(['4', '5']) && reply[4..5] == reply[0..1], "{reply}");
        }
    }
}
