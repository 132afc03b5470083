//! Domains that everybody writes to, and that fingers slip on.

use super::super::nearest::distance;

/// Mailbox providers of many countries. Short on purpose: a domain that nobody knows is no hint.
const DOMAINS: &[&str] = &[
    "gmail.com",
    "googlemail.com",
    "hotmail.com",
    "outlook.com",
    "live.com",
    "msn.com",
    "yahoo.com",
    "ymail.com",
    "rocketmail.com",
    "icloud.com",
    "me.com",
    "mac.com",
    "aol.com",
    "proton.me",
    "protonmail.com",
    "fastmail.com",
    "zoho.com",
    "hey.com",
    "mail.com",
    "gmx.de",
    "gmx.net",
    "gmx.com",
    "gmx.at",
    "gmx.ch",
    "web.de",
    "t-online.de",
    "freenet.de",
    "arcor.de",
    "posteo.de",
    "mailbox.org",
    "outlook.de",
    "hotmail.de",
    "yahoo.de",
    "bluewin.ch",
    "hispeed.ch",
    "aon.at",
    "orange.fr",
    "wanadoo.fr",
    "free.fr",
    "laposte.net",
    "sfr.fr",
    "hotmail.fr",
    "outlook.fr",
    "yahoo.fr",
    "live.fr",
    "libero.it",
    "virgilio.it",
    "tiscali.it",
    "alice.it",
    "hotmail.it",
    "yahoo.it",
    "hotmail.es",
    "outlook.es",
    "yahoo.es",
    "telefonica.net",
    "sapo.pt",
    "ziggo.nl",
    "kpnmail.nl",
    "planet.nl",
    "xs4all.nl",
    "telenet.be",
    "skynet.be",
    "hotmail.co.uk",
    "yahoo.co.uk",
    "live.co.uk",
    "btinternet.com",
    "virginmedia.com",
    "sky.com",
    "talktalk.net",
    "eircom.net",
    "comcast.net",
    "verizon.net",
    "att.net",
    "sbcglobal.net",
    "bellsouth.net",
    "cox.net",
    "charter.net",
    "earthlink.net",
    "rogers.com",
    "shaw.ca",
    "sympatico.ca",
    "telus.net",
    "bigpond.com",
    "optusnet.com.au",
    "xtra.co.nz",
    "mail.ru",
    "yandex.ru",
    "yandex.com",
    "bk.ru",
    "inbox.ru",
    "list.ru",
    "ukr.net",
    "seznam.cz",
    "centrum.cz",
    "wp.pl",
    "onet.pl",
    "o2.pl",
    "interia.pl",
    "uol.com.br",
    "terra.com.br",
    "bol.com.br",
    "yahoo.com.br",
    "hotmail.com.br",
    "qq.com",
    "163.com",
    "126.com",
    "sina.com",
    "naver.com",
    "daum.net",
    "yahoo.co.jp",
    "docomo.ne.jp",
    "rediffmail.com",
    "yahoo.co.in",
    "telia.com",
    "online.no",
];

/// Whether everybody knows it.
pub fn is_known(domain: &str) -> bool {
    DOMAINS.iter().any(|known| known.eq_ignore_ascii_case(domain))
}

/// The well-known domains that a slip away from this one, nearest first, each with its distance; none for a domain that is one itself.
pub fn like(domain: &str) -> Vec<(&'static str, usize)> {
    if is_known(domain) {
        return Vec::new();
    }
    // In a short name every letter tells.
    let most = if domain.chars().count() < 9 { 1 } else { 2 };
    let mut near: Vec<(&str, usize)> =
        DOMAINS.iter().map(|known| (*known, distance(domain, known))).filter(|(_, far)| *far <= most).collect();
    near.sort_by_key(|&(known, far)| (far, known));
    near.retain({
        let best = near.first().map_or(0, |(_, far)| *far);
        move |(_, far)| *far == best
    });
    near.truncate(3);
    near
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(domain: &str, expected: &[&str]) {
        let found: Vec<&str> = like(domain).into_iter().map(|(known, _)| known).collect();
        assert_eq!(found, expected, "{domain}");
    }

    #[test]
    fn slips_on_well_known_domains_are_recognised() {
        check("gmial.com", &["gmail.com"]);
        check("gmail.con", &["gmail.com"]);
        check("Hotmal.com", &["hotmail.com"]);
        check("outlok.com", &["outlook.com"]);
        check("yaho.com", &["yahoo.com"]);
        check("gmx.ed", &["gmx.de"]);
    }

    #[test]
    fn other_domains_are_left_alone() {
        for domain in ["gmail.com", "GMX.net", "example.org", "hotmail.example", "mac.example", "a.b", ""] {
            check(domain, &[]);
        }
    }
}
