//! Messages of any size that are different in each octet and the same in each run.

use std::borrow::Cow;

#[derive(Debug, Clone)]
pub struct Message {
    pub reverse_path: String,
    pub recipient: String,
    /// Header and body with CRLF line ends, before dot-stuffing.
    pub octets: Vec<u8>,
}

impl Message {
    /// A small message of that name: `NAME@msg.example` is its Message-ID, `NAME@from.example` its sender.
    pub fn named(name: &str) -> Self {
        let body = format!(
            "Message-ID: <{name}@msg.example>\r\nFrom: <{name}@from.example>\r\nTo: <bob@to.example>\r\n\
             Date: Mon, 23 Nov 2026 20:00:00 +0000\r\nSubject: about {name}\r\n\r\nText of {name}.\r\n"
        );
        Self::of(name, body.into_bytes())
    }

    /// With a body of lines that holds dots, long lines and 8-bit octets, `size` octets in all. Too small for a header: body only.
    pub fn sized(name: &str, size: usize) -> Self {
        let head = Self::named(name).octets;
        let mut octets = if head.len() + 2 <= size { head } else { Vec::new() };
        let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ size as u64);
        while octets.len() + 2 < size {
            let left = size - octets.len() - 2;
            let length = (random.next() % 998) as usize;
            // What is left after this line and its CRLF must have room for a CRLF of its own.
            let length = if left <= length + 2 { left } else { length };
            let dots = (random.next() % 4) as usize;
            let start = octets.len();
            while octets.len() < start + length {
                octets.extend_from_slice(&random.text());
            }
            octets.truncate(start + length);
            octets.iter_mut().skip(start).take(dots).for_each(|octet| *octet = b'.');
            octets.extend_from_slice(b"\r\n");
        }
        if octets.len() + 2 == size {
            octets.extend_from_slice(b"\r\n");
        }
        Self::of(name, octets)
    }

    pub fn of(name: &str, octets: Vec<u8>) -> Self {
        Self { reverse_path: format!("{name}@from.example"), recipient: "bob@to.example".into(), octets }
    }

    /// Dot-stuffed for DATA, without the terminator.
    pub fn on_the_wire(&self) -> Cow<'_, [u8]> {
        if !self.octets.starts_with(b".") && memchr::memmem::find(&self.octets, b"\r\n.").is_none() {
            return Cow::Borrowed(&self.octets);
        }
        let mut stuffed = Vec::with_capacity(self.octets.len() + 4096);
        for line in self.octets.split_inclusive(|octet| *octet == b'\n') {
            if line.starts_with(b".") {
                stuffed.push(b'.');
            }
            stuffed.extend_from_slice(line);
        }
        Cow::Owned(stuffed)
    }
}

/// xorshift64*: the same everywhere, and quick in a debug build.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Octets that are anything but CR, LF and NUL.
    fn text(&mut self) -> [u8; 8] {
        self.next().to_le_bytes().map(|octet| if matches!(octet, b'\r' | b'\n' | 0) { b'.' } else { octet })
    }
}

pub fn digest(octets: &[u8]) -> String {
    blake3::hash(octets).to_hex().to_string()
}
