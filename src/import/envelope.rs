//! The envelope in Postfix's lines of refusals: `; from=<…> to=<…> proto=ESMTP helo=<…>`, most of it the client's own words.

/// Octets that an address may have here: Postfix takes no longer line.
const ADDRESS: usize = 2_048;
const START: &str = "; from=<";

/// The addresses as Postfix 3.5 and later write them: what may end them stands in quotes.
pub struct Envelope<'a> {
    pub from: &'a str,
    pub to: Option<&'a str>,
    /// Where they end.
    pub end: usize,
}

impl<'a> Envelope<'a> {
    /// At the beginning of a text; `None` where it isn't well formed.
    pub fn of(text: &'a str) -> Option<Self> {
        let (from, mut rest) = mailbox(text.strip_prefix(START)?)?;
        let mut to = None;
        if let Some(behind) = rest.strip_prefix(" to=<").or_else(|| rest.strip_prefix(", to=<")) {
            let (address, behind) = mailbox(behind)?;
            (to, rest) = (Some(address), behind);
        }
        let is_end = rest.is_empty() || [" proto=", ", proto=", " helo=", ", helo=", ": "].iter().any(|it| rest.starts_with(it));
        is_end.then(|| Self { from, to, end: text.len() - rest.len() })
    }

    /// What the client called itself: up to the end of the line.
    fn helo(&self, text: &'a str) -> Option<&'a str> {
        text.get(self.end..)?.split_once(" helo=<")?.1.strip_suffix('>')
    }
}

/// Where an envelope may begin in a text: not within the addresses of another.
fn starts(text: &str) -> impl Iterator<Item = usize> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let rest = text.get(from..)?;
        let found = rest.find(START)?;
        let start = from + found;
        from = start + rest.get(found..).and_then(Envelope::of).map_or(START.len(), |it| it.end);
        Some(start)
    })
}

/// Behind a header's or the body's text, which may hold anything: the last.
pub fn behind_content(text: &str) -> Option<usize> {
    starts(text).last()
}

/// Behind a reply: the first, as the HELO that ends the line may hold another. The reply may name an address or the HELO itself at its
/// beginning (`504 5.5.2 <HELO>: Helo command rejected`), and what stands in there is none.
pub fn behind_reply(told: &str) -> Option<usize> {
    let words = told.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == ' ');
    let Some(named) = words.strip_prefix('<') else { return starts(told).next() };
    let is_named = |value: &str| named.strip_prefix(value).is_some_and(|rest| rest.starts_with(">: "));
    let is_its_own = |at: &usize| {
        let text = told.get(*at..).unwrap_or_default();
        Envelope::of(text).is_some_and(|it| is_named(it.from) || it.to.is_some_and(is_named) || it.helo(text).is_some_and(is_named))
    };
    let end = named.find(">: ").map_or(0, |at| told.len() - named.len() + at);
    starts(told).find(is_its_own).or_else(|| starts(told).find(|at| *at > end)).or_else(|| behind_content(told))
}

/// An address up to its `>`, and what follows. Only its local part may stand in quotes, as a whole.
fn mailbox(text: &str) -> Option<(&str, &str)> {
    let (mut is_quoted, mut is_escaped, mut is_behind) = (false, false, false);
    for (at, octet) in text.bytes().take(ADDRESS).enumerate() {
        match octet {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' if is_quoted => (is_quoted, is_behind) = (false, true),
            _ if is_quoted => {}
            b'>' => return Some((text.get(..at)?, text.get(at + 1..)?)),
            b'@' => is_behind = false,
            b'"' if at == 0 => is_quoted = true,
            b'"' | b'<' => return None,
            _ if is_behind => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_an_address_together() {
        let of = |text: &str| mailbox(text).map(|(address, rest)| (address.to_owned(), rest.to_owned()));
        for address in ["", "a@x.example", r#""x> y"@x.example"#, r#""x\"> y"@x.example"#, "\"\"", r"a\b@x.example"] {
            assert_eq!(of(&format!("{address}> to")), Some((address.to_owned(), " to".to_owned())), "{address}");
        }
        for wrong in ["a@x.example", r#""x> y@x.example>"#, r#""x"y@x.example>"#, r#"o"brien@x.example>"#, "a<b@x.example>"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        assert_eq!(of(&format!("{}>", "a".repeat(ADDRESS))), None);
    }
}
