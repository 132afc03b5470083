//! Questions, and what they are understood to be.

use super::*;
use crate::trace::State;

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
                Term::Code(450),
                Term::State(State::Deferred),
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
    for (name, meant) in
        [("rcpt", "to"), ("Mail_From", "from"), ("ip", "client"), ("status", "state"), ("msgid", "message-id"), ("qid", "queue")]
    {
        refuses(&format!("{name}:x"), 1, &format!("did you mean {meant}:?"));
    }
    refuses("recipient:*@x.example", 11, "did you mean to:?");
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
    refuses("by:nobody", 4, "One of");
    refuses("from:a or", 10, "missing here");
    refuses("or from:a", 1, "missing here");
    refuses("from:a and or to:b", 12, "missing here");
    refuses("(from:a or to:b", 1, "never closed");
    refuses("from:a ) to:b", 8, "closes nothing");
    refuses("from:a or since:2h", 11, "whole question");
    refuses("not until:2h", 5, "whole question");
    refuses("client:192.0.2.*", 8, "write a network");
    refuses("state:rej*", 7, "takes no *");
    refuses("subject:\"a b\"*c*", 9, "one word");
    refuses("subject:...", 9, "neither letter nor digit");
    refuses("((((((((((((((((((((((((((((((((((from:a", 33, "too deeply");
    refuses("enhanced:5.x", 10, "5.1.1 or 5.7");
}

#[test]
fn terms_are_tied_by_operators() {
    let s = str::to_owned;
    let fields = |text: &str, expected: &[Term]| reads(text, &[("the fields", expected)]);
    let (from, to, code) = (Term::From(s("a")), Term::To(s("b")), Term::Code(550));
    fields("from:a and to:b", &[from.clone(), to.clone()]);
    fields("from:a or to:b code:550", &[Term::Any(vec![from.clone(), Term::All(vec![to.clone(), code.clone()])])]);
    fields("(from:a OR to:b) and not code:550", &[Term::Any(vec![from.clone(), to.clone()]), Term::Not(Box::new(code.clone()))]);
    fields("not not from:a", &[Term::Not(Box::new(Term::Not(Box::new(from.clone()))))]);
    fields("not (from:a to:b)", &[Term::Not(Box::new(Term::All(vec![from.clone(), to.clone()])))]);
    fields(
        "bob@x.example or <>",
        &[Term::Any(vec![
            Term::Any(vec![Term::MessageId(s("<bob@x.example>")), Term::Address(s("bob@x.example")), Term::MessageId(s("bob@x.example"))]),
            Term::Any(vec![Term::From(s(""))]),
        ])],
    );
}

#[test]
fn a_subject_that_is_pasted_in_keeps_its_words() {
    let subject = |text: &str| reads(text, &[("words of a subject, or addresses", &[Term::Subject(text.to_owned())])]);
    subject("do not reply");
    subject("terms and conditions");
    subject("now or never");
    let s = str::to_owned;
    reads("invoice OR receipt", &[("the fields", &[Term::Any(vec![anything("invoice"), anything("receipt")])])]);
    reads("\"or\" \"(urgent)\"", &[("words of a subject, or addresses", &[Term::Subject(s("or (urgent)"))])]);

    fn anything(word: &str) -> Term {
        let word = word.to_owned();
        Term::Any(vec![Term::QueueId(word.clone()), Term::MessageId(word.clone()), Term::Address(word.clone()), Term::Subject(word)])
    }
}

#[test]
fn stars_make_beginnings_and_patterns() {
    let s = str::to_owned;
    let one = |text: &str, expected: Term| reads(text, &[("the fields", &[expected])]);
    one("from:bob*", Term::Begins(TextField::From, s("bob")));
    one("to:bob@exa*", Term::Begins(TextField::To, s("bob@exa")));
    one("domain:@exa*", Term::Begins(TextField::Domain, s("exa")));
    one("subject:\"big inv\"*", Term::Begins(TextField::Subject, s("big inv")));
    one("subject:*oice", Term::Like(TextField::Subject, s("*oice")));
    one("queue:4X*9", Term::Like(TextField::QueueId, s("4X*9")));
    one("from:\"a*\"", Term::From(s("a*")));
    one("helo:*", Term::Like(TextField::Helo, s("*")));
    one("client:192.0.2.0/24", Term::ClientNet("192.0.2.0/24".parse().unwrap()));
    one("upstream:2001:db8::/32", Term::UpstreamNet("2001:db8::/32".parse().unwrap()));
    one("client:::ffff:192.0.2.0/120", Term::ClientNet("192.0.2.0/24".parse().unwrap()));
    one("upstream:::ffff:0:0/96", Term::UpstreamNet("0.0.0.0/0".parse().unwrap()));
    one("client:::/0", Term::ClientNet("::/0".parse().unwrap()));
    reads("::ffff:192.0.2.0/120", &[("a client's network", &[Term::ClientNet("192.0.2.0/24".parse().unwrap())])]);
    one("size:10k..1M", Term::Size(10_240..=1_048_576));
    reads(
        "4Xy*",
        &[
            ("a queue id", &[Term::Begins(TextField::QueueId, s("4Xy"))]),
            ("a domain", &[Term::Begins(TextField::Domain, s("4Xy"))]),
            ("words of a Message-ID", &[Term::Begins(TextField::MessageId, s("4Xy"))]),
            ("an address", &[Term::Begins(TextField::Address, s("4Xy"))]),
            ("words of a subject", &[Term::Begins(TextField::Subject, s("4Xy"))]),
        ],
    );
}

#[test]
fn canonical_questions_mean_the_same_everywhere() {
    let what = parse("since:2h subject:\"a b\" bob@x.example").unwrap();
    assert_eq!(what.canonical(), "since:2026-11-23T08:30:00.000000Z subject:\"a b\" bob@x.example");
    let again = parse(&what.canonical()).unwrap();
    assert_eq!((again.readings(), again.canonical()), (what.readings(), what.canonical()));
    assert_eq!(what.addresses(), ["bob@x.example"]);
    for text in ["from:a or (to:b not code:550)", "not from:a", "subject:\"big inv\"*", "from:\"a*\" helo:*", "\"or\" b AND c"] {
        let what = parse(text).unwrap();
        let again = parse(&what.canonical()).unwrap();
        assert_eq!((again.readings(), again.canonical()), (what.readings(), what.canonical()), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn nothing_that_is_typed_panics(text in "\\PC{0,60}|[a-z:\"\\\\ @<>.*()-]{0,40}|((from:a|or|and|not|\\(|\\)|b\\*|c) ){0,12}") {
        if let Ok(what) = parse(&text) {
            let again = parse(&what.canonical()).unwrap();
            proptest::prop_assert_eq!(again.readings(), what.readings());
        }
    }
}

#[test]
fn an_id_is_asked_for_only_where_nothing_else_is() {
    let id = "01JDC6Z8Q0ABCDEFGHJKMNPQRS";
    for alone in [id.to_owned(), format!("id:{id}"), format!("session:{id}")] {
        assert_eq!(parse(&alone).unwrap().id(), Some(id.parse().unwrap()), "{alone}");
        for more in ["since:1h", "until:1h", "state:bounced", "from:a@b.example"] {
            assert_eq!(parse(&format!("{alone} {more}")).unwrap().id(), None, "{alone} {more}");
        }
    }
}
