//! The store answers as a list would that is filtered from the end.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Put(u64),
    Amend(u64, State),
    Restart,
    NextDay,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1..12u64).prop_map(Step::Put),
        2 => (0..60u64, prop::sample::select(&[State::Accepted, State::Rejected, State::Deferred][..])).prop_map(|(of, state)| Step::Amend(of, state)),
        1 => Just(Step::Restart),
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
        Term::ClientIp("192.0.2.9".parse().unwrap()),
        Term::Stage(Stage::RcptTo),
    ]
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
        if query.matches(&folded) {
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_store_answers_like_a_list(steps in steps(), one in prop::sample::select(terms()), other in prop::sample::select(terms()), limit in 1..9usize) {
        let mut room = Room::with_runs_of(11);
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
                Step::NextDay => room.advance(Duration::from_secs(86_400)),
            }
        }
        prop_assert!(everything(&store) == journal);
        let queries = [
            Query::default(),
            Query::of(one.clone()),
            Query { all: vec![one, other], ..Query::default() },
            Query { since: Some(NOON + 5_000), until: Some(NOON + 40_000), ..Query::default() },
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
            prop_assert_eq!(brief(&found), brief(&model(&journal, &query)), "{:?}", query);
        }
    }
}
