//! The blocklists that are known, from `blocklists.toml`, and what their answers mean.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;

use serde::Deserialize;

use crate::smtp::is_within;

/// All of them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lists {
    #[serde(rename = "list")]
    pub lists: Vec<List>,
    pub dead: Vec<Dead>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Subject {
    Ip,
    Domain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Weight {
    Heavy,
    Light,
}

/// One that is asked. The file says what each field means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    pub name: String,
    pub zone: String,
    #[serde(rename = "lists")]
    pub subject: Subject,
    #[serde(default)]
    pub ipv6: bool,
    pub weight: Weight,
    #[serde(default = "yes")]
    pub public: bool,
    #[serde(default)]
    pub strict: bool,
    #[serde(default)]
    pub codes: Vec<(Ipv4Addr, String)>,
    #[serde(default)]
    pub bits: Vec<(u8, String)>,
    #[serde(default)]
    pub errors: Vec<(Ipv4Addr, String)>,
    #[serde(default)]
    pub listed: Option<String>,
    #[serde(default)]
    pub unlisted: Option<String>,
    #[serde(default)]
    pub see: String,
    #[serde(default)]
    pub delist: String,
    #[serde(default)]
    pub note: Option<String>,
}

fn yes() -> bool {
    true
}

/// One that is closed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dead {
    pub name: String,
    /// These, and all below them.
    pub zones: Vec<String>,
    pub since: String,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// For these reasons.
    Listed(Vec<String>),
    /// It doesn't answer this question, or this resolver.
    Refused(String),
    /// No blocklist answers so: the zone is somebody else's by now.
    Strange(IpAddr),
}

pub(super) fn known() -> &'static Lists {
    static KNOWN: OnceLock<Lists> = OnceLock::new();
    // A test reads the file: it can't fail where that has passed.
    KNOWN.get_or_init(|| toml::from_str(include_str!("blocklists.toml")).unwrap_or_default())
}

impl Lists {
    /// The closed list that a zone belongs to.
    pub fn dead(&self, zone: &str) -> Option<&Dead> {
        let zone = zone.trim_end_matches('.');
        self.dead.iter().find(|dead| dead.zones.iter().any(|dead| is_within(zone, dead)))
    }
}

impl List {
    /// One that an administrator named, of which nothing is known.
    pub fn named(zone: &str) -> Self {
        let zone = zone.trim_matches('.').to_ascii_lowercase();
        Self {
            name: zone.clone(),
            zone,
            subject: Subject::Ip,
            ipv6: true,
            weight: Weight::Light,
            public: true,
            strict: false,
            codes: Vec::new(),
            bits: Vec::new(),
            errors: Vec::new(),
            listed: None,
            unlisted: None,
            see: String::new(),
            delist: String::new(),
            note: None,
        }
    }

    pub fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name) || self.zone.eq_ignore_ascii_case(name.trim_end_matches('.'))
    }

    /// The names that must be listed, and must not be.
    pub fn test_points(&self) -> (String, String) {
        let at = |name: &Option<String>, address: &str| format!("{}.{}", name.as_deref().unwrap_or(address), self.zone);
        (at(&self.listed, "2.0.0.127"), at(&self.unlisted, "1.0.0.127"))
    }

    /// What the addresses of an answer mean; there is at least one.
    pub fn meaning(&self, answers: &[IpAddr]) -> Meaning {
        let mut reasons: Vec<String> = Vec::new();
        for answer in answers {
            let IpAddr::V4(code) = answer else { return Meaning::Strange(*answer) };
            if !code.is_loopback() {
                return Meaning::Strange(*answer);
            }
            let error = self.errors.iter().find(|(error, _)| error == code).map(|(_, why)| why.clone());
            if let Some(why) = error.or_else(|| general_error(*code)) {
                return Meaning::Refused(format!("{code}: {why}"));
            }
            let known = self.codes.iter().find(|(known, _)| known == code).map(|(_, why)| why.clone());
            let last = code.octets()[3];
            let mut found: Vec<String> = self.bits.iter().filter(|(bit, _)| last & bit != 0).map(|(_, why)| why.clone()).collect();
            found.extend(known);
            match found.is_empty() {
                true if self.strict => return Meaning::Refused(format!("{code}, which is none of its codes")),
                true => reasons.push(format!("{code}")),
                false => reasons.extend(found.into_iter().map(|why| format!("{code}, {why}"))),
            }
        }
        Meaning::Listed(reasons)
    }
}

/// Answers that are about the question, at whichever list.
fn general_error(code: Ipv4Addr) -> Option<String> {
    let [_, second, third, last] = code.octets();
    if (second, third) != (255, 255) {
        return None;
    }
    Some(match last {
        252 => "the list's name was misspelled".to_owned(),
        254 => "it doesn't answer public resolvers, nor those without a proper name in reverse DNS: ask it through a resolver of your own"
            .to_owned(),
        255 => "this resolver has asked it too often: it wants an agreement".to_owned(),
        _ => "it refuses to answer".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_can_be_read() {
        let lists: Lists = toml::from_str(include_str!("blocklists.toml")).unwrap();
        assert!(lists.lists.len() > 12 && lists.dead.len() > 10);
        for list in &lists.lists {
            assert!(lists.dead(&list.zone).is_none(), "{} is dead", list.zone);
            assert!(list.see.starts_with("http") && !list.delist.is_empty(), "{}: who is listed must know where to go", list.name);
            assert!(list.subject == Subject::Ip || list.listed.is_some(), "{}: domain lists have test points of their own", list.name);
        }
        for zone in ["sorbs.net", "dnsbl.sorbs.net", "SPAM.dnsbl.sorbs.net.", "ix.dnsbl.manitu.net", "dnsbl.ahbl.org"] {
            assert!(lists.dead(zone).is_some(), "{zone}");
        }
        assert!(lists.dead("notsorbs.net").is_none() && lists.dead("manitu.net").is_none());
    }

    #[test]
    fn errors_are_no_listings() {
        let list = |name: &str| known().lists.iter().find(|list| list.is_called(name)).unwrap();
        let (zen, rats, surbl) = (list("zen.spamhaus.org"), list("SpamRATS"), list("surbl"));
        let said = |list: &List, answers: &[&str]| list.meaning(&answers.iter().map(|it| it.parse().unwrap()).collect::<Vec<_>>());
        assert!(
            matches!(said(zen, &["127.0.0.2", "127.0.0.10"]), Meaning::Listed(reasons) if reasons.len() == 2 && reasons[1].contains("PBL"))
        );
        for code in ["127.255.255.252", "127.255.255.254", "127.255.255.255"] {
            assert!(matches!(said(zen, &[code]), Meaning::Refused(_)), "{code}");
        }
        assert!(matches!(said(zen, &["127.0.0.77"]), Meaning::Listed(_)), "a new code is a listing all the same");
        assert!(matches!(said(rats, &["127.0.0.77"]), Meaning::Refused(_)));
        assert!(matches!(said(surbl, &["127.0.0.1"]), Meaning::Refused(_)));
        assert!(matches!(said(surbl, &["127.0.0.80"]), Meaning::Listed(reasons) if reasons.len() == 2));
        assert!(matches!(said(zen, &["203.0.113.5"]), Meaning::Strange(_)));
    }
}
