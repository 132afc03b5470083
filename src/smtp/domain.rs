//! Names of domains beside each other.

/// Whether a name is the domain or stands below it; case doesn't matter (RFC 4343). Neither with the root's dot.
pub fn is_within(name: &str, domain: &str) -> bool {
    let (name, domain) = (name.as_bytes(), domain.as_bytes());
    let below = || {
        let (sub, end) = name.split_at_checked(name.len().checked_sub(domain.len())?)?;
        Some(sub.len() > 1 && sub.ends_with(b".") && end.eq_ignore_ascii_case(domain))
    };
    !domain.is_empty() && (name.eq_ignore_ascii_case(domain) || below().unwrap_or(false))
}

/// Whether one of them is within the other.
pub fn are_related(one: &str, other: &str) -> bool {
    is_within(one, other) || is_within(other, one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_count_and_not_letters() {
        for (name, domain, expected) in [
            ("example.org", "Example.ORG", true),
            ("mx.Example.org", "example.ORG", true),
            ("badexample.org", "example.org", false),
            ("example.org", "mx.example.org", false),
            (".example.org", "example.org", false),
            ("example.org", "", false),
            ("", "", false),
            ("ü.example.org", "example.org", true),
        ] {
            assert_eq!(is_within(name, domain), expected, "{name} {domain}");
        }
        assert!(are_related("example.org", "mx.example.org") && !are_related("a.example.org", "b.example.org"));
    }
}
