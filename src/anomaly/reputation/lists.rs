//! Block lists as replies name them, with the pages where one looks up an address and has it taken off.

/// A list, and where to go. The zone's name is the incident's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List {
    pub zone: &'static str,
    pub name: &'static str,
    /// Where an address is looked up and taken off.
    pub page: &'static str,
    /// As replies name it, in small letters.
    words: &'static [&'static str],
}

const fn list(zone: &'static str, name: &'static str, page: &'static str, words: &'static [&'static str]) -> List {
    List { zone, name, page, words }
}

/// The more exact names first.
const LISTS: &[List] = &[
    list("dbl.spamhaus.org", "Spamhaus DBL (domains)", "https://check.spamhaus.org/", &["dbl.spamhaus"]),
    list("zen.spamhaus.org", "Spamhaus", "https://check.spamhaus.org/", &["spamhaus", "abuseat.org", "sbl-xbl"]),
    list("bl.spamcop.net", "SpamCop", "https://www.spamcop.net/bl.shtml", &["spamcop"]),
    list("b.barracudacentral.org", "Barracuda", "https://www.barracudacentral.org/lookups", &["barracudacentral", "barracudanetworks"]),
    list("dnsbl-1.uceprotect.net", "UCEPROTECT", "https://www.uceprotect.net/en/rblcheck.php", &["uceprotect"]),
    list("bl.mailspike.net", "Mailspike", "https://www.mailspike.io/ip_verify", &["mailspike"]),
    list("psbl.surriel.com", "PSBL", "https://psbl.org/", &["psbl", "surriel"]),
    list("combined.mail.abusix.zone", "Abusix", "https://lookup.abusix.com/", &["abusix"]),
    list("ix.dnsbl.manitu.net", "NiX Spam", "https://www.nixspam.net/", &["manitu", "nixspam"]),
    list("dyna.spamrats.com", "SpamRATS", "https://www.spamrats.com/lookup.php", &["spamrats"]),
    list("multi.surbl.org", "SURBL (links)", "https://surbl.org/surbl-analysis", &["surbl"]),
    list("multi.uribl.com", "URIBL (links)", "https://lookup.uribl.com/", &["uribl"]),
    list("hostkarma.junkemailfilter.com", "Hostkarma", "https://wiki.junkemailfilter.com/", &["hostkarma", "junkemailfilter"]),
    list("bl.spfbl.net", "SPFBL", "https://matrix.spfbl.net/", &["spfbl"]),
    list("dnsbl.invaluement.com", "Invaluement", "https://www.invaluement.com/lookup/", &["invaluement"]),
    list("ubl.lashback.com", "LashBack UBL", "https://blacklist.lashback.com/", &["lashback"]),
    list(
        "rbl.trendmicro.com",
        "Trend Micro ERS",
        "https://servicecentral.trendmicro.com/en-us/ers/ip-lookup/",
        &["mail-abuse", "trendmicro"],
    ),
];

/// The list of that zone.
pub fn of_zone(zone: &str) -> Option<&'static List> {
    LISTS.iter().find(|list| list.zone == zone)
}

/// The list that a reply names.
pub fn named<'a>(lines: impl Iterator<Item = &'a str>) -> Option<&'static List> {
    let text = lines.collect::<Vec<_>>().join(" ").to_lowercase();
    LISTS.iter().find(|list| list.words.iter().any(|word| text.contains(word)))
}
