//! Messages that look like mail: real header fields, a Message-ID of their own, text with lines that begin with a dot.

use std::io::Write;

/// A message as it goes over the wire, end-of-data included. Renewed in place, so that sending costs no allocation.
pub struct Message {
    octets: Vec<u8>,
    /// Where the ten digits of the message's number stand.
    numbers: Vec<usize>,
}

const DIGITS: usize = 10;

impl Message {
    /// A message of `size` octets (the header section at least) of the session `session`.
    pub fn new(session: usize, size: usize) -> Self {
        let run = std::process::id();
        let header = format!(
            "Received: from app{session}.client.example (app{session}.client.example [192.0.2.{host}])\r\n\
             \tby mail.client.example (Postfix) with ESMTPS id {run:X}{session:X}##########\r\n\
             \tfor <rcpt@sink.example>; Mon, 23 Nov 2026 10:02:11 +0000 (UTC)\r\n\
             From: =?utf-8?Q?J=C3=BCrgen_M=C3=BCller?= <sender{session}@client.example>\r\n\
             To: Recipient <rcpt@sink.example>\r\n\
             Subject: =?utf-8?B?UmVjaG51bmc=?= no. ##########\r\n\
             Date: Mon, 23 Nov 2026 10:02:10 +0000\r\n\
             Message-ID: <20261123100210.{run}.{session}.##########@client.example>\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 8bit\r\n\
             X-Mailer: bench\r\n\r\n",
            host = session % 250 + 1,
        );
        let mut octets = Vec::with_capacity(size + 8);
        octets.extend_from_slice(header.as_bytes());
        let numbers = octets.windows(DIGITS).enumerate().filter(|(_, window)| *window == [b'#'; DIGITS]).map(|(at, _)| at).collect();
        let mut line = 0usize;
        while octets.len() + 2 < size {
            let text: &[u8] = match line % 50 {
                7 => b"..a line that began with a dot, and got another one on its way over the wire",
                13 => "Grüße, wie sie in einer Nachricht in Deutsch stehen: 8-bit text, as UTF-8".as_bytes(),
                _ => b"The quick brown fox jumps over the lazy dog, and all of this is part of mail",
            };
            octets.extend_from_slice(&text[..text.len().min(size - 2 - octets.len())]);
            octets.extend_from_slice(b"\r\n");
            line += 1;
        }
        octets.extend_from_slice(b".\r\n");
        Self { octets, numbers }
    }

    /// The octets of message number `number`.
    pub fn numbered(&mut self, number: u64) -> &[u8] {
        for &at in &self.numbers {
            let mut place = &mut self.octets[at..at + DIGITS];
            // Ten digits always fit, and a slice takes them without error.
            let _ = write!(place, "{number:010}");
        }
        &self.octets
    }

    /// Without the final dot.
    pub fn size(&self) -> usize {
        self.octets.len() - 3
    }
}
