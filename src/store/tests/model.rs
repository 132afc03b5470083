//! The store answers as a list would that is filtered from the end.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Put(u64),
    Amend(u64, State),
    Restart,
    /// The process dies, and the last file loses so many octets of its end.
    Crash(u64),
    NextDay,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1..12u64).prop_map(Step::Put),
        2 => (0..60u64, prop::sample::select(&[State::Accepted, State::Rejected, State::Deferred][..])).prop_map(|(of, state)| Step::Amend(of, state)),
        1 => Just(Step::Restart),
        1 => prop_oneof![Just(0), 1..1500u64].prop_map(Step::Crash),
        1 => Just(Step::NextDay),
    ];
    prop::collection::vec(step, 1..20)
}

fn terms() -> Vec<Term> {
    vec![
        Term::State(State::Accepted),
        Term::State(State::Deferred),
        Term::State(State::Rejected),
        Term::From("alice".to_owned()),
        Term::Domain("d7.example".to_owned()),
        Term::To("user13@d13.example".to_owned()),
        Term::MessageId("mail.sender.example".to_owned()),
        message_id(5),
        Term::Subject("from bob".to_owned()),
        Term::Code(550),
        Term::Flag(Flag::LateReply),
        Term::Session(samples::session_id(2)),
        Term::Id(samples::id(5)),
        Term::ClientIp("192.0.2.9".parse().unwrap()),
        Term::Stage(Stage::RcptTo),
        Term::Ever(State::Deferred),
        Term::By(Actor::Upstream),
        Term::Enhanced("5.1".to_owned()),
        Term::Reply("address rejected".to_owned()),
        Term::Reply("recip".to_owned()),
        Term::Kind(RecordKind::Transaction),
        Term::Upstream("smtp.example.net".to_owned()),
        Term::Listener("SUBMISSION".to_owned()),
        Term::Helo("mail.sender.example".to_owned()),
        Term::Tls(Leg::Upstream, TlsIs::None),
        Term::Tls(Leg::Client, TlsIs::Any),
        Term::ClientNet("192.0.2.0/29".parse().unwrap()),
        Term::UpstreamNet("198.51.100.0/24".parse().unwrap()),
        Term::Size(4100..=4110),
        Term::Duration(0..=20_005),
        Term::Begins(TextField::To, "user1".to_owned()),
        Term::Begins(TextField::From, "carol@send".to_owned()),
        Term::Begins(TextField::Domain, "d1".to_owned()),
        Term::Begins(TextField::Subject, "invoice 1".to_owned()),
        Term::Begins(TextField::QueueId, "a".to_owned()),
        Term::Like(TextField::To, "*2@d*".to_owned()),
        Term::Like(TextField::Subject, "*voic*".to_owned()),
        Term::Like(TextField::Helo, "*".to_owned()),
        Term::All(Vec::new()),
        Term::Any(Vec::new()),
    ]
}

/// Terms, tied in any way.
fn tied() -> impl Strategy<Value = Term> {
    prop::sample::select(terms()).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Term::All),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Term::Any),
            inner.prop_map(|term| Term::Not(Box::new(term))),
        ]
    })
}

/// What the store must answer: each record where its newest word stands, newest first.
fn model(journal: &[Record], query: &Query) -> Vec<Record> {
    let mut shown: Vec<RecordId> = Vec::new();
    let mut answer = Vec::new();
    for record in journal.iter().rev() {
        let id = if let Record::Amendment(amendment) = record { amendment.of } else { record.id() };
        if shown.contains(&id) {
            continue;
        }
        shown.push(id);
        let Some(mut folded) = journal.iter().find(|base| base.id() == id).cloned() else { continue };
        for later in journal {
            if let Record::Amendment(amendment) = later
                && amendment.of == id
            {
                crate::store::fold::amend(&mut folded, amendment);
            }
        }
        let before = journal.iter().flat_map(|record| match record {
            Record::Amendment(amendment) if amendment.of == id => vec![amendment.outcome.state],
            base if base.id() == id => crate::store::facts::Facts::of(base).states().collect(),
            _ => Vec::new(),
        });
        if query.matches_one_that_was(&folded, &before.collect::<Vec<_>>()) {
            answer.push(folded);
        }
    }
    answer
}

/// Enough to tell records apart in a failed test.
fn brief(records: &[Record]) -> Vec<(u64, Option<State>, usize)> {
    let brief = |record: &Record| match record {
        Record::Transaction(it) => (it.id.unix_ms() - NOON / 1000, Some(it.outcome.state), it.flags.len()),
        other => (other.id().unix_ms() - NOON / 1000, None, 0),
    };
    records.iter().map(brief).collect()
}

type Counts = (u64, u64, u64, Vec<(String, u64)>);

fn counted(tally: &Tally) -> Counts {
    let mut by: Vec<_> = tally.by.iter().flatten().cloned().collect();
    by.sort();
    (tally.transactions, tally.recipients, tally.octets, by)
}

/// What a tally must say of the transactions among these.
fn counts(records: &[Record]) -> Counts {
    let mut by = std::collections::BTreeMap::<String, u64>::new();
    let (mut transactions, mut recipients, mut octets) = (0, 0, 0);
    for record in records {
        let Record::Transaction(it) = record else { continue };
        transactions += 1;
        recipients += it.envelope.recipients.len() as u64;
        octets += it.message.size;
        let domain = it.envelope.recipients[0].address.rsplit_once('@').unwrap().1;
        let code = it.outcome.reply.as_ref().unwrap().code;
        for value in [it.outcome.state.word().to_owned(), domain.to_owned(), code.to_string()] {
            *by.entry(value).or_default() += 1;
        }
    }
    (transactions, recipients, octets, by.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_store_answers_like_a_list(steps in steps(), one in tied(), other in tied(), limit in 1..9usize) {
        let mut room = Room::with_runs_of(3);
        room.options.segment_octets = 30_000;
        let mut store = room.store();
        let (mut journal, mut no) = (Vec::new(), 0);
        for step in steps {
            match step {
                Step::Put(count) => {
                    let records = transactions(no..no + count);
                    put(&store, &records);
                    journal.extend(records);
                    no += count;
                }
                Step::Amend(of, state) if of < no => {
                    let record = samples::amendment(of, 1_000_000 + journal.len() as u64, state);
                    put(&store, std::slice::from_ref(&record));
                    journal.push(record);
                }
                Step::Amend(..) => {}
                Step::Restart => {
                    store.close();
                    store = room.store();
                }
                Step::Crash(octets) => {
                    room = room.crashed_copy();
                    if let Some(last) = room.journal().pop().filter(|file| octets > 0 && file.extension().is_some_and(|it| it == "log")) {
                        let file = std::fs::OpenOptions::new().write(true).open(last).unwrap();
                        file.set_len(file.metadata().unwrap().len().saturating_sub(octets)).unwrap();
                    }
                    store = room.store();
                    let left = everything(&store);
                    // Whole records, from the first on.
                    prop_assert!(left.len() <= journal.len() && left[..] == journal[..left.len()]);
                    prop_assert!(octets > 0 || left.len() == journal.len());
                    journal = left;
                }
                Step::NextDay => room.advance(Duration::from_secs(86_400)),
            }
        }
        prop_assert!(everything(&store) == journal);
        let queries = [
            Query::default(),
            Query::of(one.clone()),
            Query { all: vec![one, other.clone()], ..Query::default() },
            Query { since: Some(NOON + 5_000), until: Some(NOON + 40_000), ..Query::default() },
            Query { all: vec![other], since: Some(NOON + 3_000), until: None },
        ];
        for query in queries {
            let (mut found, mut before) = (Vec::new(), None);
            loop {
                let page = store.query(&query, &PageRequest { limit, before }).unwrap();
                prop_assert!(page.records.len() <= limit && !page.cut_short);
                found.extend(page.records);
                before = page.next;
                if before.is_none() {
                    break;
                }
            }
            let expected = model(&journal, &query);
            prop_assert_eq!(brief(&found), brief(&expected), "{:?}", query);
            let tally = store.tally(&query, &[Field::State, Field::Domain, Field::Code]).unwrap();
            prop_assert_eq!(counted(&tally), counts(&expected), "{:?}", query);
        }
    }
}
