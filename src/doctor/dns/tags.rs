//! Lists of `tag=value; tag=value`, as DKIM, DMARC and TLS-RPT have them (RFC 6376 3.2), read with the first thing that is wrong.

/// A record's tags in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tags {
    pub list: Vec<Tag>,
    /// What is wrong with the list itself, with its place.
    pub flaw: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag {
    pub name: String,
    /// Without blanks around it; hostile.
    pub value: String,
    /// Octets from the record's start.
    pub at: usize,
}

impl Tags {
    pub fn read(text: &str) -> Self {
        let (mut tags, mut at) = (Self::default(), 0);
        for part in text.split(';') {
            let start = at + (part.len() - part.trim_start().len());
            at += part.len() + 1;
            let part = part.trim();
            if part.is_empty() {
                continue;
            }
            match tag(part, start) {
                Ok(tag) if tags.value(&tag.name).is_some() => {
                    tags.flaw.get_or_insert(format!("the tag {} comes twice (octet {start})", tag.name));
                }
                Ok(tag) => tags.list.push(tag),
                Err(why) => drop(tags.flaw.get_or_insert(format!("octet {start}: {why}"))),
            }
        }
        tags
    }

    pub fn value(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|tag| tag.name == name).map(|tag| tag.value.as_str())
    }

    pub fn first(&self) -> Option<&Tag> {
        self.list.first()
    }
}

fn tag(part: &str, at: usize) -> Result<Tag, String> {
    if part.contains('\\') {
        return Err("a backslash: it belongs into some zone files before a semicolon, and came into the record itself".to_owned());
    }
    if part.contains(['"', '“', '”']) {
        return Err("a quotation mark: it belongs around the text in a zone file, and came into the record itself".to_owned());
    }
    let (name, value) = part.split_once('=').ok_or_else(|| format!("{:?} is not \"tag=value\"", described(part)))?;
    let name = name.trim();
    let is_name =
        name.starts_with(|it: char| it.is_ascii_alphabetic()) && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_');
    if !is_name {
        return Err(format!("{:?} is no tag's name", described(name)));
    }
    Ok(Tag { name: name.to_owned(), value: value.trim().to_owned(), at })
}

/// Hostile text, shortened.
pub(super) fn described(text: &str) -> String {
    const MOST: usize = 300;
    let mut shown: String = text.chars().take(MOST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_with_their_places() {
        let tags = Tags::read("v=DMARC1; p = none ;rua=mailto:a@b.example;");
        let found: Vec<_> = tags.list.iter().map(|tag| (tag.name.as_str(), tag.value.as_str(), tag.at)).collect();
        assert_eq!(found, [("v", "DMARC1", 0), ("p", "none", 10), ("rua", "mailto:a@b.example", 20)]);
        assert_eq!(tags.flaw, None);
        for (text, words) in [
            ("v=DMARC1; p=none; p=reject", "the tag p comes twice (octet 18)"),
            ("v=DMARC1\\; p=none", "octet 0: a backslash"),
            ("v=DMARC1; \"p=none\"", "octet 10: a quotation mark"),
            ("v=DMARC1 p=none; reject", "octet 17: \"reject\" is not \"tag=value\""),
            ("v=DMARC1; =none", "octet 10: \"\" is no tag's name"),
        ] {
            let flaw = Tags::read(text).flaw.unwrap();
            assert!(flaw.starts_with(words), "{text}: {flaw}");
        }
    }
}
