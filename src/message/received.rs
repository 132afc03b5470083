//! The queue id that a server wrote into its `Received` field.

/// Longer than any server's id.
const LONGEST_ID: usize = 128;

/// Reads `… by HOST (…) with ESMTP id ABC123 (…) for <…>; date`, and qmail's `(qmail 1234 invoked …)`.
///
/// Exchange writes its version behind `id` (`id 15.1.2507.6`), the same for every message: that is no queue id.
pub fn queue_id(value: &[u8]) -> Option<String> {
    if let Some(behind) = value.trim_ascii_start().strip_prefix(b"(qmail ") {
        let digits = behind.iter().take_while(|octet| octet.is_ascii_digit()).count();
        return behind.get(..digits).and_then(sound_id);
    }
    let mut behind_by = false;
    let mut words = Words { rest: value };
    while let Some(word) = words.next() {
        if word.eq_ignore_ascii_case(b"by") {
            behind_by = true;
        } else if behind_by && word.eq_ignore_ascii_case(b"id") {
            return words.next().and_then(sound_id);
        }
    }
    None
}

fn sound_id(word: &[u8]) -> Option<String> {
    let word = word.strip_prefix(b"<").unwrap_or(word);
    let word = word.strip_suffix(b">").unwrap_or(word);
    let sound = !word.is_empty() && word.len() <= LONGEST_ID && word.iter().all(u8::is_ascii_graphic) && !is_version(word);
    if sound { String::from_utf8(word.to_vec()).ok() } else { None }
}

/// Four short numbers, as in `15.20.8114.16`.
fn is_version(word: &[u8]) -> bool {
    let mut parts = 0;
    for part in word.split(|&octet| octet == b'.') {
        if part.is_empty() || part.len() > 5 || !part.iter().all(u8::is_ascii_digit) {
            return false;
        }
        parts += 1;
    }
    parts == 4
}

/// Words outside of comments, up to the `;` before the date.
struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        self.skip_space_and_comments();
        let length =
            self.rest.iter().position(|octet| octet.is_ascii_whitespace() || matches!(octet, b'(' | b';')).unwrap_or(self.rest.len());
        if length == 0 {
            return None; // the end, or the date
        }
        let (word, behind) = self.rest.split_at(length);
        self.rest = behind;
        Some(word)
    }

    fn skip_space_and_comments(&mut self) {
        let mut depth = 0usize;
        let mut octets = self.rest.iter().enumerate();
        while let Some((at, octet)) = octets.next() {
            match octet {
                b'(' => depth += 1,
                b')' => depth = depth.saturating_sub(1),
                b'\\' if depth > 0 => {
                    octets.next();
                }
                _ if depth > 0 || octet.is_ascii_whitespace() => {}
                _ => {
                    self.rest = self.rest.get(at..).unwrap_or_default();
                    return;
                }
            }
        }
        self.rest = &[];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(value: &str, expected: Option<&str>) {
        assert_eq!(queue_id(value.as_bytes()).as_deref(), expected, "{value}");
    }

    #[test]
    fn finds_each_servers_id() {
        check(
            " from app.example (app.example [192.0.2.7])\r\n\tby mail.example (Postfix) with ESMTPS id 4F1A2B3C4D\r\n\tfor <bob@example.org>; Mon, 23 Nov 2026 10:02:11 +0000 (UTC)",
            Some("4F1A2B3C4D"),
        );
        check(
            " from app.example (app.example [192.0.2.7])\r\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))\r\n\tby mail.example (Postfix) with ESMTPSA id 4bYtQ1\r\n\tfor <b@x.example>; Mon",
            Some("4bYtQ1"),
        );
        check(" by mail.example (Postfix, from userid 1000)\r\n\tid 9EFE470001; Mon, 23 Nov 2026", Some("9EFE470001"));
        check(" by mail.example (Postfix, from userid id 0)\r\n\tid\r\n 9EFE470001; Mon", Some("9EFE470001"));
        check(
            " from x by y.example with esmtps  (TLS1.3) tls TLS_AES_256_GCM_SHA384\r\n\t(Exim 4.96)\r\n\t(envelope-from <a@x.example>)\r\n\tid 1r5abc-0003Xy-2B\r\n\tfor b@y.example;\r\n\tMon",
            Some("1r5abc-0003Xy-2B"),
        );
        check(" from root by y.example with local (Exim 4.98) id 1tABCD-000000005vi-0000; Mon", Some("1tABCD-000000005vi-0000"));
        check(" (from root@localhost)\r\n by y.example (8.17.1/8.17.1/Submit) id 3ANA2BxY012345;\r\n Mon", Some("3ANA2BxY012345"));
        check(" from a by y.example (8.17.1/8.17.1) with ESMTPS id 3ANA2BxY012345\r\n (version=TLSv1.3)", Some("3ANA2BxY012345"));
        check(" from a (b [192.0.2.1]) by c.example (OpenSMTPD) with ESMTPSA id a1b2c3d4 (TLSv1.3:x:256:NO); Mon", Some("a1b2c3d4"));
        check(
            " by smtp.gmail.com with ESMTPSA id d2e1a72fcca58-7f0b1sm9999b3a.1.2026.11.23; Mon",
            Some("d2e1a72fcca58-7f0b1sm9999b3a.1.2026.11.23"),
        );
        check(
            " from [192.0.2.1] by h.example (Haraka/3.0.5) with ESMTP id 9C7A4B00-6A9F-4F8D-AA97.1 envelope-from <a@b>; Mon",
            Some("9C7A4B00-6A9F-4F8D-AA97.1"),
        );
        check(" (qmail 4711 invoked by uid 0); 23 Nov 2026 10:02:11 -0000", Some("4711"));
        check(" from x by y with ESMTP id <ABC>; Mon", Some("ABC"));
    }

    #[test]
    fn invents_none() {
        check(
            " from EX1.corp.example (10.0.0.1) by EX2.corp.example (10.0.0.2) with Microsoft SMTP Server (version=TLS1_2, cipher=X) id 15.1.2507.6 via Mailbox Transport; Mon",
            None,
        );
        check(" from EX1 by EX2 with mapi id 15.20.8114.016; Mon", None);
        check(" from a by b with Microsoft SMTPSVC(10.0.17763.1697); Mon", None);
        check(" from id by b with ESMTP; Mon", None);
        check(" from id x by b (id 5) with ESMTP; id 7", None);
        check(" by b with ESMTP id ; Mon", None);
        check(" by b with ESMTP id", None);
        check(" (qmail x)", None);
        check("", None);
        check(&format!(" by b id {}", "9".repeat(129)), None);
        check("((((((((((", None);
    }

    proptest! {
        #[test]
        fn no_octets_panic(value in prop::collection::vec(any::<u8>(), 0..120)) {
            queue_id(&value);
        }
    }
}
