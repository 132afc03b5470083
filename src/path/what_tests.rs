//! Questions, and what they are understood to be.

use super::*;

fn parse(text: &str) -> Result<What, NotUnderstood> {
    What::parse(text, "2026-11-23T10:30:00Z".parse().unwrap(), &TimeZone::UTC)
}

#[track_caller]
fn reads(text: &str, expected: &[(&str, &[Term])]) {
    let readings = parse(text).unwrap().readings();
    let found: Vec<_> = readings.iter().map(|reading| (reading.name, reading.query.all.as_slice())).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn free_words_are_read_most_particular_first() {
    let s = str::to_owned;
    reads(
        "<a.1@mail.example>",
        &[
            ("a Message-ID", &[Term::MessageId(s("<a.1@mail.example>"))]),
            ("an address", &[Term::Address(s("a.1@mail.example"))]),
            ("words of a Message-ID", &[Term::MessageId(s("a.1@mail.example"))]),
        ],
    );
    reads(
        "4F1Q2",
        &[
            ("a queue id", &[Term::QueueId(s("4F1Q2"))]),
            ("words of a Message-ID", &[Term::MessageId(s("4F1Q2"))]),
            ("a local part", &[Term::Address(s("4F1Q2"))]),
            ("words of a subject", &[Term::Subject(s("4F1Q2"))]),
        ],
    );
    reads("192.0.2.1", &[("a client's address", &[Term::ClientIp([192, 0, 2, 1].into())])]);
    reads("2001:db8::1", &[("a client's address", &[Term::ClientIp("2001:db8::1".parse().unwrap())])]);
    reads("<>", &[("the null sender", &[Term::From(String::new())])]);
    reads("Re: your invoice", &[("words of a subject, or addresses", &[Term::Subject(s("Re: your invoice"))])]);
    reads(
        "bob@x.example invoice",
        &[("words of a subject, or addresses", &[Term::Address(s("bob@x.example")), Term::Subject(s("invoice"))])],
    );
}

#[test]
fn fields_and_quotes() {
    let s = str::to_owned;
    reads(
        r#"from:<> to:bob@x.example subject:"two \"words\"" state:deferred CODE:450"#,
        &[(
            "the fields",
            &[
                Term::From(s("")),
                Term::To(s("bob@x.example")),
                Term::Subject(s("two \"words\"")),
                Term::State(State::Deferred),
                Term::Code(450),
            ],
        )],
    );
    reads(
        r#""since:when""#,
        &[
            ("a queue id", &[Term::QueueId(s("since:when"))]),
            ("words of a Message-ID", &[Term::MessageId(s("since:when"))]),
            ("a local part", &[Term::Address(s("since:when"))]),
            ("words of a subject", &[Term::Subject(s("since:when"))]),
        ],
    );
    reads("", &[("the fields", &[])]);
}

#[track_caller]
fn refuses(text: &str, column: usize, part: &str) {
    let error = parse(text).unwrap_err();
    assert_eq!(error.column, column, "{text}: {error}");
    assert!(error.message.contains(part), "{text}: {error}");
}

#[test]
fn errors_point_at_the_column() {
    refuses("to:bob subjct:x", 8, "did you mean subject:?");
    refuses("state:acepted", 7, "did you mean accepted?");
    refuses("ü stage:nowhere", 9, "One of: connect");
    refuses("to:\"bob", 4, "never closed");
    refuses("client:mail.example", 8, "not an IP address");
    refuses("code:5xx", 6, "not a reply code");
    refuses("code:65536", 6, "not a reply code");
    refuses("id:123", 4, "26 characters");
    refuses("since:soon", 7, "not a time");
    refuses("since:1h until:2h", 1, "nothing can match");
    refuses("http://x", 1, "quote it");
    refuses("bob since:", 5, "has no value");
    refuses("size:big", 6, "not a bound");
    refuses("by:nobody", 4, "one of");
    refuses("enhanced:5.x", 10, "5.1.1 or 5.7");
}

#[test]
fn canonical_questions_mean_the_same_everywhere() {
    let what = parse("since:2h subject:\"a b\" bob@x.example").unwrap();
    assert_eq!(what.canonical(), "since:2026-11-23T08:30:00.000000Z subject:\"a b\" bob@x.example");
    let again = parse(&what.canonical()).unwrap();
    assert_eq!((again.readings(), again.canonical()), (what.readings(), what.canonical()));
    assert_eq!(what.addresses(), ["bob@x.example"]);
}

proptest::proptest! {
    #[test]
    fn nothing_that_is_typed_panics(text in "\\PC{0,60}|[a-z:\"\\\\ @<>.-]{0,40}") {
        if let Ok(what) = parse(&text) {
            let again = parse(&what.canonical()).unwrap();
            proptest::prop_assert_eq!(again.readings(), what.readings());
        }
    }
}
