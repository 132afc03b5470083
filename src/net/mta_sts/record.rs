//! The TXT record that says that a domain has a policy, and which version of it (RFC 8461 3.1).

use super::policy::is_id;

/// What the TXT records at `_mta-sts.DOMAIN` say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Announced {
    /// None of them is about MTA-STS.
    Nothing,
    Policy {
        id: String,
    },
    /// RFC 8461 3.1: as if there were none; `why` in words.
    Unusable {
        why: &'static str,
    },
}

/// Reads them; each is the text of one record, its strings joined.
pub(super) fn announced<'a>(records: impl Iterator<Item = &'a [u8]>) -> Announced {
    let mut about =
        records.filter(|text| text.strip_prefix(b"v=STSv1").is_some_and(|rest| matches!(rest.first(), None | Some(b';' | b' ' | b'\t'))));
    let Some(text) = about.next() else { return Announced::Nothing };
    if about.next().is_some() {
        return Announced::Unusable { why: "there is more than one TXT record with v=STSv1" };
    }
    let Ok(text) = std::str::from_utf8(text) else { return Announced::Unusable { why: "the TXT record is not text" } };
    let fields = text.split(';').skip(1).map(str::trim).filter(|field| !field.is_empty());
    let mut id = None;
    for field in fields {
        match field.split_once('=') {
            Some(("id", value)) => drop(id.get_or_insert(value)),
            Some(_) => {}
            None => return Announced::Unusable { why: "the TXT record has a field without a value" },
        }
    }
    match id {
        Some(id) if is_id(id) => Announced::Policy { id: id.to_owned() },
        Some(_) => Announced::Unusable { why: "the TXT record's id is not 1 to 32 letters and digits" },
        None => Announced::Unusable { why: "the TXT record has no id" },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(records: &[&str], expected: Result<Option<&str>, &str>) {
        let found = match announced(records.iter().map(|it| it.as_bytes())) {
            Announced::Nothing => Ok(None),
            Announced::Policy { id } => Ok(Some(id)),
            Announced::Unusable { why } => Err(why),
        };
        assert_eq!(found.as_ref().map(Option::as_deref), expected.as_ref().copied(), "{records:?}");
    }

    #[test]
    fn exactly_one_record_counts() {
        check(&["v=STSv1; id=20160831085700Z;"], Ok(Some("20160831085700Z")));
        check(&["v=STSv1;id=1"], Ok(Some("1")));
        check(&["v=STSv1; ext=x; id=7", "v=spf1 -all"], Ok(Some("7")));
        check(&["v=spf1 -all", "v=STSv10; id=1"], Ok(None));
        check(&[], Ok(None));
        check(&["v=STSv1; id=1", "v=STSv1; id=2"], Err("there is more than one TXT record with v=STSv1"));
        check(&["v=STSv1;"], Err("the TXT record has no id"));
        check(&["v=STSv1; id=a-b"], Err("the TXT record's id is not 1 to 32 letters and digits"));
        check(&["v=STSv1; id"], Err("the TXT record has a field without a value"));
    }
}
