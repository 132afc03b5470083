//! The demo's messages: the kinds of mail that an office sends, and what becomes of each.

/// One message of the sample traffic.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// What it shows, to be read behind its `where` command.
    pub shows: &'static str,
    /// Left side of the Message-ID, before a time stamp.
    pub name: &'static str,
    /// The header From's display name, RFC 2047 encoded where needed.
    pub from_name: &'static str,
    /// Reverse-path, and the header's From unless empty.
    pub from: &'static str,
    pub to: &'static [&'static str],
    /// RFC 2047 encoded where needed.
    pub subject: &'static str,
    /// As people read it.
    pub subject_text: &'static str,
    /// More header lines, each with its CRLF.
    pub more: &'static str,
    pub text: &'static str,
    /// How often the text is said.
    pub times: usize,
    pub ending: Ending,
}

/// How the sending program ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Normal,
    /// Tries again at once when deferred, as a mail server does after some minutes.
    TryAgain,
    /// Closes the connection in the middle of the message.
    GoneInMessage,
}

const PLAIN: Sample = Sample {
    shows: "",
    name: "",
    from_name: "Anna Berg",
    from: "anna@shop.example",
    to: &[],
    subject: "",
    subject_text: "",
    more: "",
    text: "Good morning,\r\n\r\nplease find what we spoke about below.\r\n\r\nAnna\r\n",
    times: 1,
    ending: Ending::Normal,
};

pub const SAMPLES: &[Sample] = &[
    Sample {
        shows: "delivered",
        name: "minutes",
        to: &["alice@demo.example"],
        subject: "Minutes of Monday's meeting",
        subject_text: "Minutes of Monday's meeting",
        ..PLAIN
    },
    Sample {
        shows: "partly rejected: of three recipients one is unknown, and one has a full mailbox",
        name: "invoice-4711",
        from_name: "=?utf-8?Q?J=C3=BCrgen_M=C3=BCller?=",
        from: "accounts@shop.example",
        to: &["alice@demo.example", "unknown@demo.example", "full@demo.example"],
        subject: "=?utf-8?Q?Rechnung_4711_f=C3=BCr_November?=",
        subject_text: "Rechnung 4711 für November",
        ..PLAIN
    },
    Sample {
        shows: "rejected: there is no such user",
        name: "offer-88",
        to: &["unknown@demo.example"],
        subject: "Our offer no. 88",
        subject_text: "Our offer no. 88",
        ..PLAIN
    },
    Sample {
        shows: "deferred: the recipient's mailbox is full",
        name: "photos",
        to: &["full@demo.example"],
        subject: "Photos from the fair",
        subject_text: "Photos from the fair",
        ..PLAIN
    },
    Sample {
        shows: "deferred: the smart host's daily limit is reached",
        name: "newsletter-2026-11",
        from_name: "Shop News",
        from: "news@shop.example",
        to: &["limit@demo.example"],
        subject: "News of November",
        subject_text: "News of November",
        more: "List-Unsubscribe: <https://shop.example/leave>\r\nPrecedence: bulk\r\n",
        ..PLAIN
    },
    Sample {
        shows: "greylisted at first, delivered at the second attempt",
        name: "contract",
        to: &["greylist@demo.example"],
        subject: "Re: Contract",
        subject_text: "Re: Contract",
        more: "In-Reply-To: <20261120.77@demo.example>\r\nReferences: <20261120.77@demo.example>\r\n",
        ending: Ending::TryAgain,
        ..PLAIN
    },
    Sample {
        shows: "rejected after the message was sent: taken for spam",
        name: "sale",
        from_name: "Shop News",
        from: "news@shop.example",
        to: &["bob@demo.example", "spam@demo.example"],
        subject: "ONLY TODAY: EVERYTHING FREE!!!",
        subject_text: "ONLY TODAY: EVERYTHING FREE!!!",
        ..PLAIN
    },
    Sample {
        shows: "in doubt: the smart host hung up after the message, and nobody knows whether it took it",
        name: "order-1001",
        from_name: "Web Shop",
        from: "orders@shop.example",
        to: &["drop@demo.example"],
        subject: "Your order 1001",
        subject_text: "Your order 1001",
        more: "Auto-Submitted: auto-generated\r\n",
        ..PLAIN
    },
    Sample {
        shows: "the smart host hung up in the middle of the message",
        name: "catalogue",
        to: &["hangup@demo.example"],
        subject: "Catalogue 2027, all pages",
        subject_text: "Catalogue 2027, all pages",
        text: "All work and no play makes Jack a dull boy: this line stands for a page of the catalogue.\r\n",
        times: 65_000, // more than the buffers on the way hold, or the message would be sent before the smart host is gone
        ..PLAIN
    },
    Sample {
        shows: "aborted: the sending program went away in the middle of the message",
        name: "report",
        from_name: "Backup",
        from: "backup@shop.example",
        to: &["bob@demo.example"],
        subject: "Nightly report",
        subject_text: "Nightly report",
        ending: Ending::GoneInMessage,
        ..PLAIN
    },
    Sample {
        shows: "refused at MAIL FROM: the smart host doesn't let this account use that sender",
        name: "scan-0017",
        from_name: "Copier 2nd floor",
        from: "stranger@printer.example",
        to: &["alice@demo.example"],
        subject: "Scan 0017",
        subject_text: "Scan 0017",
        ..PLAIN
    },
    Sample {
        shows: "delivered: a bounce, with the null sender",
        name: "bounce",
        from_name: "Mail Delivery System",
        from: "",
        to: &["alice@demo.example"],
        subject: "Undelivered Mail Returned to Sender",
        subject_text: "Undelivered Mail Returned to Sender",
        more: "Auto-Submitted: auto-replied\r\n",
        text: "I'm sorry to have to inform you that your message could not be delivered.\r\n",
        ..PLAIN
    },
    Sample {
        shows: "delivered, but slowly: see how long the smart host took after the message",
        name: "backup-list",
        to: &["slow@demo.example"],
        subject: "List of backups",
        subject_text: "List of backups",
        ..PLAIN
    },
];

impl Sample {
    /// The message, dot-stuffed, end-of-data included.
    pub fn message(&self, message_id: &str, date: &str, queue_id: &str) -> String {
        let from = if self.from.is_empty() { "MAILER-DAEMON@mail.shop.example" } else { self.from };
        let to = self.to.join(",\r\n\t");
        format!(
            "Received: from app.shop.example (app.shop.example [192.0.2.7])\r\n\
             \tby mail.shop.example (Postfix) with ESMTPS id {queue_id};\r\n\
             \t{date}\r\n\
             From: {} <{from}>\r\n\
             To: {to}\r\n\
             Subject: {}\r\n\
             Date: {date}\r\n\
             Message-ID: <{message_id}>\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             {}\r\n\
             {}.\r\n",
            self.from_name,
            self.subject,
            self.more,
            self.text.repeat(self.times)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::HeaderCapture;

    #[test]
    fn every_sample_is_sound_mail() {
        for sample in SAMPLES {
            let message = sample.message("1@shop.example", "Mon, 23 Nov 2026 10:02:11 +0000", "4F1A2B");
            let mut capture = HeaderCapture::for_data(65_536);
            capture.feed(message.as_bytes());
            let headers = capture.finish();
            assert_eq!(headers.message_id.as_deref(), Some("1@shop.example"));
            assert_eq!(headers.subject.as_deref(), Some(sample.subject_text));
            assert_eq!(headers.client_queue_id.as_deref(), Some("4F1A2B"));
            assert!(message.ends_with("\r\n.\r\n") && !message.replace("\r\n", "").contains(['\r', '\n']), "{message}");
            assert!(!sample.shows.is_empty() && !sample.to.is_empty() && !sample.name.is_empty());
            assert!(!message.contains("\r\n\r\n.\r\n") && !sample.text.starts_with('.') && !sample.text.contains("\n."));
        }
    }
}
