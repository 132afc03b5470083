//! Reads the queue id out of a server's final reply: the name under which its admin finds the message.

use memchr::memchr2_iter;

/// What a server calls the message it has just taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueId {
    pub id: String,
    /// The machine that has it, where the reply says so (Exchange, Yandex): a cluster's ids are kept by host.
    pub host: Option<String>,
}

impl QueueId {
    fn of(id: &str) -> Option<Self> {
        Some(Self { id: id.to_owned(), host: None })
    }
}

/// Longer than any server's id.
const LONGEST_ID: usize = 128;
/// Octets of a line that are looked at. The longest real form (Exchange's) has about 300.
const LOOKED_AT: usize = 1_024;

/// Finds the queue id in a reply to end-of-data. `lines` are the texts behind the code.
///
/// Where no known form fits there is none: a wrong id sends an admin after another message.
pub fn upstream_queue_id(code: u16, lines: &[impl AsRef<str>]) -> Option<QueueId> {
    if !(200..300).contains(&code) {
        return None;
    }
    let texts: Vec<&str> = lines.iter().map(|line| behind_enhanced_code(bounded(line.as_ref()))).collect();
    // A filter's reply quotes the server's behind it, so the forms go from the surest to the vaguest, over all lines.
    FORMS.iter().find_map(|form| texts.iter().find_map(|text| form(text)))
}

type Form = fn(&str) -> Option<QueueId>;

const FORMS: [Form; 12] =
    [exchange, yandex, queued_as, id_equals, accepted_for_delivery, qmail, gmail, ironport, mimecast, haraka, dovecot, ok_alone];

fn bounded(line: &str) -> &str {
    line.get(..super::char_boundary(line, LOOKED_AT)).unwrap_or_default().trim()
}

/// `2.0.0 Ok` and OpenSMTPD's old `2.0.0: id …`.
fn behind_enhanced_code(line: &str) -> &str {
    let Some((first, rest)) = line.split_once(' ') else { return line };
    let first = first.strip_suffix(':').unwrap_or(first);
    let mut parts = first.split('.');
    let is_code =
        parts.clone().count() == 3 && parts.all(|part| (1..=3).contains(&part.len()) && part.bytes().all(|octet| octet.is_ascii_digit()));
    if is_code { rest.trim_start() } else { line }
}

/// Exchange, Microsoft 365: `<message-id> [InternalId=123, Hostname=EX01.example] … Queued mail for delivery`.
fn exchange(line: &str) -> Option<QueueId> {
    let fields = behind(line, "[internalid=")?;
    let id = leading(fields, |octet| octet.is_ascii_digit());
    let behind_id = fields.get(id.len()..)?;
    if id.is_empty() || id.len() > LONGEST_ID || !behind_id.starts_with([',', ']', ' ']) {
        return None;
    }
    let list = behind_id.split(']').next().unwrap_or_default();
    let host = behind(list, "hostname=").map(|host| leading(host, is_host_octet)).filter(|host| !host.is_empty());
    Some(QueueId { id: id.to_owned(), host: host.map(str::to_owned) })
}

/// Yandex: `Ok: queued on HOST as ID`, and without the `as`.
fn yandex(line: &str) -> Option<QueueId> {
    let mut words = behind(line, "queued on ")?.split_ascii_whitespace();
    let host = words.next().filter(|host| host.bytes().all(is_host_octet))?;
    let id = match words.next()? {
        word if word.eq_ignore_ascii_case("as") => words.next()?,
        word => word,
    };
    let id = sound_id(id).filter(|id| id.contains(|c: char| c.is_ascii_digit()))?;
    Some(QueueId { id: id.to_owned(), host: Some(host.to_owned()) })
}

/// Postfix, and the many that speak like it: `Ok: queued as 4F1A2B3C4D`; Stalwart: `Message queued with id …`.
fn queued_as(line: &str) -> Option<QueueId> {
    // The last one: filters put their own words in front of the reply that they quote.
    let word = ["queued as ", "queued with id "].iter().find_map(|words| behind_last(line, words))?.split_ascii_whitespace().next()?;
    sound_id(word).and_then(QueueId::of)
}

/// Exim: `OK id=1r5abc-0003Xy-2B`; GMX: `… completed: id=…`; KumoMTA: `OK ids=…`.
fn id_equals(line: &str) -> Option<QueueId> {
    let word = [" id=", " ids="].iter().find_map(|words| behind_last(line, words))?.split([' ', ',']).next()?;
    sound_id(word).and_then(QueueId::of)
}

/// Sendmail, OpenSMTPD, CommuniGate, Kerio, Proofpoint, FortiMail: `ID Message accepted for delivery`.
fn accepted_for_delivery(line: &str) -> Option<QueueId> {
    let (id, rest) = line.split_once(' ')?;
    let rest = rest.trim_start();
    let accepted = ["message accepted for delivery", "mail accepted for delivery"].iter().any(|words| starts_with(rest, words));
    if !accepted || id.len() < 4 || !id.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    sound_id(id).and_then(QueueId::of)
}

/// qmail: `ok 1700000000 qp 1234`. Its log finds the message by the number behind `qp`.
fn qmail(line: &str) -> Option<QueueId> {
    let mut words = line.split_ascii_whitespace();
    let (ok, time, qp, id) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let numbers = [time, id].iter().all(|word| word.len() <= 20 && word.bytes().all(|octet| octet.is_ascii_digit()));
    if ok.eq_ignore_ascii_case("ok") && qp == "qp" && numbers { QueueId::of(id) } else { None }
}

/// Gmail: `OK  1700000000 d2e1a72fcca58-7f0b1si123b3a.45 - gsmtp`.
fn gmail(line: &str) -> Option<QueueId> {
    let mut words = line.strip_suffix(" - gsmtp")?.split_ascii_whitespace();
    let id = words.next_back()?;
    let time = words.next_back()?;
    if !time.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    sound_id(id).and_then(QueueId::of)
}

/// Cisco (IronPort): `ok:  Message 12345678 accepted`.
fn ironport(line: &str) -> Option<QueueId> {
    let mut words = line.split_ascii_whitespace();
    let (ok, message, id, accepted) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let fits = ok.eq_ignore_ascii_case("ok:") && message == "Message" && accepted == "accepted" && words.next().is_none();
    if fits && id.len() <= 20 && id.bytes().all(|octet| octet.is_ascii_digit()) { QueueId::of(id) } else { None }
}

/// Mimecast: `SmtpThread-… Received OK [0hQ6bW8jOtCMhq-3NbZsAA.uk58]`.
fn mimecast(line: &str) -> Option<QueueId> {
    let id = behind(line, "received ok [")?.strip_suffix(']')?;
    sound_id(id).and_then(QueueId::of)
}

/// Haraka: `Message Queued (9C7A4B00-6A9F-4F8D-AA97-6A4F5F1F2A34.1)`. hMailServer has a duration at this place.
fn haraka(line: &str) -> Option<QueueId> {
    let id = behind(line, "queued (")?.strip_suffix(')')?;
    let uuid = id.split('.').next().unwrap_or_default();
    let is_uuid = uuid.len() == 36 && uuid.bytes().all(|octet| octet.is_ascii_hexdigit() || octet == b'-');
    if is_uuid { sound_id(id).and_then(QueueId::of) } else { None }
}

/// Dovecot (LMTP): `<bob@example.org> zZKoFaiuCGvqbgAAg+zDdQ Saved`.
fn dovecot(line: &str) -> Option<QueueId> {
    let (_, id) = line.strip_prefix('<')?.strip_suffix(" Saved")?.rsplit_once("> ")?;
    sound_id(id).and_then(QueueId::of)
}

/// SES: `Ok 0100018c2f0e1d3a-…-000000`; SparkPost: `OK 0B/25-12345-ABCDEF`; Courier: `Ok. 000000005F0E2C.65…`: one long word and no other.
fn ok_alone(line: &str) -> Option<QueueId> {
    let mut words = line.split_ascii_whitespace();
    let (ok, id) = (words.next()?, words.next()?);
    let fits = ok.trim_end_matches([':', '.', ',']).eq_ignore_ascii_case("ok") && words.next().is_none();
    if !fits || id.len() < 10 || id.bytes().filter(u8::is_ascii_digit).count() < 2 || id.contains('@') {
        return None;
    }
    sound_id(id).and_then(QueueId::of)
}

/// The word as an id, brackets and a final full stop off; `None` for what can't be one, words of English above all.
fn sound_id(word: &str) -> Option<&str> {
    let word = word.trim_end_matches([',', ';', '.', ')']);
    let word = word.strip_prefix('<').and_then(|word| word.strip_suffix('>')).unwrap_or(word);
    let octets = || word.bytes();
    let allowed = octets().all(|octet| octet.is_ascii_alphanumeric() || b"-_./+=@:$~".contains(&octet));
    let english = octets().all(|octet| octet.is_ascii_lowercase());
    let sound = (3..=LONGEST_ID).contains(&word.len()) && allowed && !english && octets().any(|octet| octet.is_ascii_alphanumeric());
    if sound { Some(word) } else { None }
}

fn is_host_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-._".contains(&octet)
}

fn leading(text: &str, wanted: impl Fn(u8) -> bool) -> &str {
    let length = text.bytes().take_while(|&octet| wanted(octet)).count();
    text.get(..length).unwrap_or_default()
}

fn starts_with(text: &str, words: &str) -> bool {
    text.get(..words.len()).is_some_and(|start| start.eq_ignore_ascii_case(words))
}

/// What follows the first occurrence of `words` (lower case), whatever its case in `text`.
fn behind<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let (lower, upper) = first_octets(words)?;
    let at = memchr2_iter(lower, upper, text.as_bytes()).find(|&at| starts_with(text.get(at..).unwrap_or_default(), words))?;
    text.get(at + words.len()..)
}

/// What follows the last one.
fn behind_last<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let (lower, upper) = first_octets(words)?;
    let at = memchr2_iter(lower, upper, text.as_bytes()).rfind(|&at| starts_with(text.get(at..).unwrap_or_default(), words))?;
    text.get(at + words.len()..)
}

fn first_octets(words: &str) -> Option<(u8, u8)> {
    words.bytes().next().map(|first| (first, first.to_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(line: &str, id: &str) {
        let found = upstream_queue_id(250, &[line]);
        assert_eq!(found, Some(QueueId { id: id.to_owned(), host: None }), "{line}");
    }

    #[track_caller]
    fn check_host(line: &str, id: &str, host: &str) {
        let found = upstream_queue_id(250, &[line]);
        assert_eq!(found, Some(QueueId { id: id.to_owned(), host: Some(host.to_owned()) }), "{line}");
    }

    #[test]
    fn finds_each_servers_id() {
        check("2.0.0 Ok: queued as 9EFE470001", "9EFE470001");
        check("2.0.0 Ok: queued as 4bYtQ12Xz9z3gVd", "4bYtQ12Xz9z3gVd");
        check("Ok: queued as oJ5vZ8l3RtCwBq-_9fH1xA", "oJ5vZ8l3RtCwBq-_9fH1xA"); // SendGrid
        check("2.0.0 OK: queued as <202611231002.12345678901@smtp-relay.example>", "202611231002.12345678901@smtp-relay.example");
        check("2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 4F1A2B3C4D", "4F1A2B3C4D");
        check("2.0.0 Ok, id=12345-01, from MTA([127.0.0.1]:10025): 250 2.0.0 Ok: queued as 4F1A2B3C4D", "4F1A2B3C4D");
        check("2.0.0 Message queued with id 1a2b3c4d5e.", "1a2b3c4d5e"); // Stalwart
        check("2.0.0 <bob@to.example> zZKoFaiuCGvqbgAAg+zDdQ:R2 Saved", "zZKoFaiuCGvqbgAAg+zDdQ:R2"); // Dovecot, LMTP
        check("OK id=1r5abc-0003Xy-2B", "1r5abc-0003Xy-2B");
        check("OK id=1tABCD-000000005vi-0000", "1tABCD-000000005vi-0000");
        check("Requested mail action okay, completed: id=0MKt7j-1r5abc3Xyz-00Abcd", "0MKt7j-1r5abc3Xyz-00Abcd");
        check("OK ids=a1b2c3d4e5f611ef,b1b2c3d4e5f611ef", "a1b2c3d4e5f611ef"); // KumoMTA
        check("2.0.0 3ANA2BxY012345 Message accepted for delivery", "3ANA2BxY012345");
        check("2.0.0 3abc1de234-1 Message accepted for delivery", "3abc1de234-1"); // Proofpoint
        check("2.0.0 a1b2c3d4 Message accepted for delivery", "a1b2c3d4");
        check("2.0.0: a1b2c3d4 Message accepted for delivery", "a1b2c3d4");
        check("12345678 message accepted for delivery", "12345678"); // CommuniGate
        check("2.0.0 OK  1700000000 d2e1a72fcca58-7f0b1si123b3a.45 - gsmtp", "d2e1a72fcca58-7f0b1si123b3a.45");
        check("2.0.0 OK DMARC:Quarantine 1700000000 abc-20020a05si1.2 - gsmtp", "abc-20020a05si1.2");
        check(
            "Ok 0100018c2f0e1d3a-2f9c7b1e-0a1b-4c2d-9e8f-1a2b3c4d5e6f-000000",
            "0100018c2f0e1d3a-2f9c7b1e-0a1b-4c2d-9e8f-1a2b3c4d5e6f-000000",
        );
        check("2.0.0 OK 0B/25-12345-1A2B3C4D", "0B/25-12345-1A2B3C4D");
        check("Ok. 00000000005F0E2C.0000000065A1B2C3.00001234", "00000000005F0E2C.0000000065A1B2C3.00001234");
        check("ok 1700000000 qp 1234", "1234");
        check("ok 1700000000 qp 1234 server-4.tower-123.example!1700000000!1", "1234");
        check("ok:  Message 12345678 accepted", "12345678");
        check("SmtpThread-3217281-1700000000@uk-mta-58.example Received OK [0hQ6bW8jOtCMhq-3NbZsAA.uk58]", "0hQ6bW8jOtCMhq-3NbZsAA.uk58");
        check("Message Queued (9C7A4B00-6A9F-4F8D-AA97-6A4F5F1F2A34.1)", "9C7A4B00-6A9F-4F8D-AA97-6A4F5F1F2A34.1");
    }

    #[test]
    fn finds_exchanges_id_and_host() {
        check_host(
            "2.6.0 <1@a.example> [InternalId=23138874, Hostname=EX01.corp.example] Queued mail for delivery",
            "23138874",
            "EX01.corp.example",
        );
        check_host(
            "2.6.0 <1@a.example> [InternalId=1234567890123, Hostname=AM0PR01MB1234.eurprd01.prod.outlook.com] 12345 bytes in 0.123, 98.012 KB/sec Queued mail for delivery",
            "1234567890123",
            "AM0PR01MB1234.eurprd01.prod.outlook.com",
        );
        check("2.6.0 <6b36518e@a.example> [InternalId=23138874] Queued mail for delivery", "23138874");
        check_host(
            "2.0.0 Ok: queued on mxback1.mail.yandex.example as 1700000000-aBcDeF",
            "1700000000-aBcDeF",
            "mxback1.mail.yandex.example",
        );
        check_host("2.0.0 Ok: queued on mail-front-54.vla.example 1700000000-3gXY", "1700000000-3gXY", "mail-front-54.vla.example");
    }

    #[test]
    fn reads_all_lines() {
        let found = upstream_queue_id(250, &["2.0.0 thank you", "2.0.0 Ok: queued as 4F1A2B3C4D"]);
        assert_eq!(found.map(|found| found.id).as_deref(), Some("4F1A2B3C4D"));
    }

    #[test]
    fn invents_none() {
        for line in [
            "",
            "2.0.0",
            "2.0.0 Ok",
            "OK: message queued",
            "2.0.0 Ok: queued",
            "2.0.0 Ok: queued as",
            "2.0.0 Ok: queued as spam",
            "2.0.0 Ok: queued as ???",
            "Queued (0.032 seconds)", // hMailServer
            "Queued (10.765 seconds)",
            "2.6.0 Message received",
            "2.6.0 Ok, message saved <Message-ID: 1@a.example>",
            "Message accepted for delivery", // Domino
            "2.0.0 Your Message accepted for delivery",
            "Mail queued for delivery",
            "Great success",
            "ok dirdel", // Yahoo
            "OK",
            "Ok thanks",
            "Ok 12345",
            "ok 1700000000 qp",
            "ok 1700000000 qp x",
            "[InternalId=]",
            "[InternalId=12x, Hostname=y]",
            "Requested mail action okay, completed",
            "id= ",
            "2.0.0 Ok: queued as \u{fc}\u{fc}\u{fc}\u{fc}1",
            "2.0.0 Ok: queued as a\u{1b}[31m1",
            " - gsmtp",
            "- gsmtp",
        ] {
            assert_eq!(upstream_queue_id(250, &[line]), None, "{line}");
        }
        assert_eq!(upstream_queue_id(250, &[format!("Ok: queued as {}", "A1".repeat(100))]), None);
        assert_eq!(
            upstream_queue_id(250, &[format!("{}queued as A1B2C3", " ".repeat(5))]).map(|found| found.id).as_deref(),
            Some("A1B2C3")
        );
        assert_eq!(upstream_queue_id(250, &[format!("{}queued as A1B2C3", "x".repeat(5_000))]), None);
        assert_eq!(upstream_queue_id(250, &[] as &[&str]), None);
        for code in [199, 354, 451, 554] {
            assert_eq!(upstream_queue_id(code, &["2.0.0 Ok: queued as 4F1A2B3C4D"]), None);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(line in prop_oneof![".{0,80}", "(2\\.0\\.0 )?(ok:? |queued as | id=|\\[InternalId=|queued on |[a-z0-9ü.]{1,5}){1,6}( - gsmtp|\\])?"]) {
            if let Some(found) = upstream_queue_id(250, &[&line]) {
                prop_assert!(line.contains(&found.id) && found.id.is_ascii() && found.id.len() <= LONGEST_ID);
            }
        }
    }
}
