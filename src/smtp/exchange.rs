//! What Exchange servers say to each other beyond the standards, and why a proxy that ends TLS and traces each message can't carry it.
//!
//! Hidden, an Exchange server falls back to plain SMTP. Sources: Microsoft's list of SMTP protocol extensions, [MS-XLOGIN] and [MS-SMTPNTLM],
//! KB 812455, and what the servers themselves offer.

/// Commands: keyword of EHLO and verb alike.
const VERBS: &[(&str, &str)] = &[
    ("X-EXPS", "a login between Exchange servers beside AUTH, bound to their own TLS; AUTH takes its place"),
    (
        "X-ANONYMOUSTLS",
        "STARTTLS between Exchange servers that know each other by certificate: a TLS connection that ends at the proxy isn't theirs",
    ),
    ("XEXCH50", "octets of unknown form follow the command (message properties of Exchange 2000 to 2007)"),
    ("X-EXCH50", "octets of unknown form follow the command (message properties of Exchange 2000 to 2007)"),
    ("X-LINK2STATE", "routing tables of Exchange 2000 and 2003 in lines of their own, no mail"),
    ("XRDST", "routes within the Exchange organization, past the recipients that are seen"),
    ("XSHADOW", "copies for shadow redundancy: a message would pass twice, and only once to be delivered"),
    ("XSHADOWREQUEST", "copies for shadow redundancy: a message would pass twice, and only once to be delivered"),
    ("XQDISCARD", "tells which shadow copies may be thrown away, no mail"),
    ("XPROXY", "speaks for another client, from one Exchange server's front end to another's back end"),
    ("XPROXYFROM", "speaks for another client, from one Exchange server's front end to another's back end"),
    ("XPROXYTO", "hands the connection on to another server, past this proxy's choice"),
    ("XSESSIONPARAMS", "hands over another session's rights"),
];

/// Keywords whose parameters ride on MAIL FROM or RCPT TO.
const PARAMETERS: &[(&str, &str)] = &[
    ("XMESSAGECONTEXT", "announces octets that come by BDAT before the message, and would be taken for a part of it"),
    ("XADRC", "address book entries that come by BDAT before the message"),
    ("XEXPROPS", "message properties that come by BDAT before the message"),
    ("XFASTINDEX", "a search index that comes by BDAT before the message"),
    ("XOORG", "says which organization a message is of; believed only over the TLS of a connector's own certificate"),
    ("XORIGFROM", "another sender than the envelope's, for Exchange servers of one organization"),
    ("XATTRDIRECT", "says whether a message comes from within; believed only over the TLS of a connector's own certificate"),
    ("XATTRORGID", "says which tenant a message is of; believed only over the TLS of a connector's own certificate"),
    ("XSYSPROBE", "marks the servers' own test messages"),
];

/// Why an EHLO keyword of Exchange's own isn't offered; upper case.
pub fn why_hidden(keyword: &str) -> Option<&'static str> {
    VERBS.iter().chain(PARAMETERS).find(|(name, _)| *name == keyword).map(|(_, why)| *why)
}

/// Whether a command is one of Exchange's own.
pub fn is_verb(word: &[u8]) -> bool {
    VERBS.iter().any(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()))
}

/// The name of a parameter (`XOORG=contoso.example`) that is one of Exchange's own.
pub fn parameter(parameter: &[u8]) -> Option<&'static str> {
    let name = parameter.split(|octet| *octet == b'=').next().unwrap_or_default();
    PARAMETERS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes())).map(|(known, _)| *known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_own() {
        assert!(is_verb(b"x-exps") && is_verb(b"XPROXYTO") && !is_verb(b"XOORG") && !is_verb(b"X-NEW"));
        assert_eq!(parameter(b"xoorg=contoso.example"), Some("XOORG"));
        assert_eq!(parameter(b"XOORGANIZATION=x"), None);
        assert!(why_hidden("XSHADOW").is_some() && why_hidden("XMESSAGECONTEXT").is_some() && why_hidden("SIZE").is_none());
    }

    #[test]
    fn each_is_told_of_once() {
        let mut names: Vec<_> = VERBS.iter().chain(PARAMETERS).map(|(name, _)| *name).collect();
        names.sort_unstable();
        let many = names.len();
        names.dedup();
        assert_eq!(names.len(), many);
        assert!(names.iter().all(|name| *name == name.to_ascii_uppercase()));
    }
}
