//! Records go in and are found.

use super::*;

#[test]
fn what_was_appended_is_found_at_once_and_after_a_restart() {
    let room = Room::new();
    let store = room.store();
    put(&store, &transactions(0..200));
    let check = |store: &Store| {
        assert_eq!(find(store, message_id(77)), transactions(77..78));
        assert_eq!(store.fetch(samples::id(77)).unwrap(), Some(samples::transaction(77)));
        assert_eq!(store.fetch(samples::id(777)).unwrap(), None);
        assert_eq!(store.query(&Query::default(), &PageRequest::newest(3)).unwrap().records, [199, 198, 197].map(samples::transaction));
    };
    check(&store);
    store.close();
    check(&room.store());
}

#[test]
fn every_kind_of_term_finds_its_record_in_memory_and_on_disk() {
    let room = Room::with_runs_of(64);
    let store = room.store();
    put(&store, &transactions(0..100));
    let like = samples::plain(33);
    let recipient = like.envelope.recipients[0].address.clone();
    let terms = [
        Term::MessageId(format!("<{}>", like.message.message_id.clone().unwrap().to_uppercase())),
        Term::MessageId(like.message.message_id.clone().unwrap().rsplit_once('.').unwrap().0.split_once('.').unwrap().1.to_owned()),
        Term::QueueId(like.outcome.upstream_queue_id.clone().unwrap_or_else(|| like.message.client_queue_id.clone().unwrap())),
        Term::QueueId(like.message.client_queue_id.clone().unwrap()),
        Term::Address(like.envelope.reverse_path.to_uppercase()),
        Term::From(format!("<{}>", like.envelope.reverse_path)),
        Term::From(like.envelope.reverse_path.split('@').next().unwrap().to_owned()),
        Term::From("@sender.example".to_owned()),
        Term::To(recipient.clone()),
        Term::To(recipient.split('@').next().unwrap().to_owned()),
        Term::Domain(recipient.split('@').nth(1).unwrap().to_uppercase()),
        Term::ClientIp("::ffff:192.0.2.33".parse().unwrap()),
        Term::State(like.outcome.state),
        Term::Stage(like.outcome.stage),
        Term::Kind(RecordKind::Transaction),
        Term::Upstream("smtp.EXAMPLE.net".to_owned()),
        Term::Listener("submission".to_owned()),
        Term::Code(like.outcome.reply.as_ref().unwrap().code),
        Term::Subject("INVOICE 33".to_owned()),
        Term::Session(like.session_id),
        Term::Id(like.id),
        Term::Helo("mail.sender.example".to_owned()),
        Term::BodyDigest(like.message.body_digest.unwrap()),
    ];
    for term in terms {
        let found = find(&store, term.clone());
        assert!(found.contains(&samples::transaction(33)), "{term:?}");
        let expected: Vec<_> = (0..100).rev().map(samples::transaction).filter(|record| Query::of(term.clone()).matches(record)).collect();
        assert_eq!(found, expected, "{term:?}");
    }
    for nothing in
        [Term::MessageId("<mail>".to_owned()), Term::MessageId(String::new()), Term::AuthUser("bob".to_owned()), Term::Flag(Flag::InDoubt)]
    {
        assert_eq!(find(&store, nothing.clone()), [], "{nothing:?}");
    }
}

#[test]
fn the_questions_of_one_answer_see_what_others_see_without_dialogues() {
    let room = Room::with_runs_of(16);
    let store = room.store();
    put(&store, &transactions(0..50));
    let reader = store.reader();
    let bare = |record: &Record| {
        let mut record = record.clone();
        if let Record::Transaction(it) = &mut record {
            it.timeline = Timeline::default();
        }
        record
    };
    let check = |term: Term| {
        let page = PageRequest::newest(100);
        let whole = store.query(&Query::of(term.clone()), &page).unwrap().records;
        let expected: Vec<_> = whole.iter().map(bare).collect();
        assert!(!expected.is_empty());
        assert_eq!(reader.query(&Query::of(term.clone()), &page).unwrap().records, expected, "{term:?}");
    };
    let every = Term::From("@sender.example".to_owned());
    for _ in 0..2 {
        [7, 8, 49].map(message_id).into_iter().for_each(&check);
        check(every.clone());
    }
    // What is written meanwhile is seen, and so is what became known of records that were read before.
    put(&store, &transactions(50..60));
    put(&store, &[samples::amendment(7, 60, State::Accepted)]);
    [7, 55].map(message_id).into_iter().for_each(&check);
    check(every.clone());
    sealed(&store);
    check(every);
}

#[test]
fn pages_follow_one_another_without_overlap_while_records_come_in() {
    let room = Room::with_runs_of(16);
    let store = room.store();
    put(&store, &transactions(0..50));
    let query = Query { until: Some(NOON + 45_000), ..Query::default() };
    let mut seen = Vec::new();
    let mut before = None;
    for page in 0.. {
        let answer = store.query(&query, &PageRequest { limit: 10, before }).unwrap();
        seen.extend(answer.records.iter().map(Record::id));
        put(&store, &[samples::transaction(1000 + page)]);
        before = answer.next;
        if before.is_none() {
            break;
        }
    }
    let expected: Vec<_> = (0..45).rev().map(samples::id).collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_cursor_holds_through_sealing_and_a_restart() {
    let mut room = Room::new();
    room.options.segment_octets = 10_000;
    let store = room.store();
    put(&store, &transactions(0..5));
    let (first, cursor) = store.follow(None, 3).unwrap();
    assert_eq!(first, transactions(0..3));
    let page = store.query(&Query::default(), &PageRequest::newest(2)).unwrap();
    for no in 5..60 {
        put(&store, &transactions(no..no + 1));
    }
    sealed(&store);
    assert!(store.stats().unwrap().sealed_files > 2);
    let check = |store: &Store| {
        let cursor = cursor.to_string().parse().unwrap();
        assert_eq!(store.follow(Some(cursor), 1000).unwrap().0, transactions(3..60));
        let next = store.query(&Query::default(), &PageRequest { limit: 10, before: page.next }).unwrap();
        assert_eq!(next.records, [2, 1, 0].map(samples::transaction));
        assert_eq!(next.next, None);
    };
    check(&store);
    store.close();
    check(&room.store());
}

#[test]
fn following_yields_the_journal_in_order_and_then_what_is_new() {
    let room = Room::new();
    let store = room.store();
    assert_eq!(store.follow(None, 10).unwrap().0, []);
    put(&store, &[samples::mark(1), samples::transaction(1), samples::session(2), samples::gap(3)]);
    let (records, cursor) = store.follow(None, 2).unwrap();
    assert_eq!(records, [samples::transaction(1), samples::session(2)]);
    let (records, cursor) = store.follow(Some(cursor), 10).unwrap();
    assert_eq!(records, [samples::gap(3)]);
    assert_eq!(store.follow(Some(cursor), 10).unwrap(), (Vec::new(), cursor));
    assert_eq!(store.end().unwrap(), cursor);
    let mut news = store.notified();
    news.borrow_and_update();
    put(&store, &[samples::transaction(4)]);
    until(|| news.has_changed().unwrap());
    assert_eq!(store.follow(Some(cursor), 10).unwrap().0, [samples::transaction(4)]);
}

#[test]
fn what_was_followed_before_an_error_is_not_shown_again() {
    let room = Room::new();
    let store = room.store();
    put(&store, &transactions(1..3));
    room.advance(Duration::from_secs(3 * 86_400));
    put(&store, &[samples::amendment(1, 3 * 86_400_000, State::Rejected)]);
    let start = Cursor::at_start_of(Day::of(0));
    // The newer day's file can't be read at present.
    let newest = room.journal().pop().unwrap();
    let whole = std::fs::read(&newest).unwrap();
    std::fs::OpenOptions::new().write(true).open(&newest).unwrap().set_len(0).unwrap();
    let mut shown = Vec::new();
    let (count, cursor, more) = store.follow_summaries(start, 10, |record| shown.push(record.id())).unwrap();
    assert!(more, "what can't be read isn't the end");
    assert_eq!((count, shown.as_slice()), (2, &[samples::id(1), samples::id(2)][..]));
    assert!(store.follow_summaries(cursor, 10, |record| shown.push(record.id())).is_err());
    // The same file, and not another in its place: the store has it open.
    std::io::Write::write_all(&mut std::fs::OpenOptions::new().write(true).open(&newest).unwrap(), &whole).unwrap();
    store.follow_summaries(cursor, 10, |record| shown.push(record.id())).unwrap();
    assert_eq!(shown, [samples::id(1), samples::id(2), samples::id(3 * 86_400_000)]);
}

#[test]
fn the_newest_amendment_wins_and_stands_for_its_record() {
    let room = Room::with_runs_of(3);
    let store = room.store();
    put(&store, &transactions(1..3));
    put(&store, &[samples::amendment(1, 10, State::Unknown), samples::amendment(1, 11, State::Deferred), samples::transaction(3)]);
    let id = samples::id(1);
    let Some(Record::Transaction(folded)) = store.fetch(id).unwrap() else { panic!("the transaction is there") };
    assert_eq!((folded.outcome.state, folded.flags.as_slice()), (State::Deferred, [Flag::LateReply].as_slice()));
    assert_eq!(store.fetch(samples::id(10)).unwrap(), store.fetch(id).unwrap());
    let newest: Vec<_> = store.query(&Query::default(), &PageRequest::newest(10)).unwrap().records.iter().map(Record::id).collect();
    assert_eq!(newest, [samples::id(3), id, samples::id(2)]);
    let from = Term::From(samples::plain(1).envelope.reverse_path);
    let query = Query { all: vec![from, Term::State(State::Deferred)], ..Query::default() };
    assert_eq!(store.query(&query, &PageRequest::newest(10)).unwrap().records, [Record::Transaction(folded)]);
    assert_eq!(find(&store, Term::State(State::Unknown)), []);
}

#[test]
fn an_amendment_of_a_later_day_is_folded_in() {
    let room = Room::new();
    let store = room.store();
    put(&store, &transactions(1..2));
    room.advance(Duration::from_secs(3 * 86_400));
    put(&store, &[samples::amendment(1, 3 * 86_400_000, State::Rejected)]);
    assert_eq!(store.stats().unwrap().days, 2);
    let found = find(&store, message_id(1));
    assert_eq!(found.len(), 1);
    assert_eq!(store.fetch(samples::id(1)).unwrap().as_ref(), found.first());
    assert!(Query::of(Term::State(State::Rejected)).matches(&found[0]));
}

#[test]
fn a_second_opener_is_refused_and_told_who_holds_the_store() {
    let room = Room::new();
    let store = room.store();
    match Store::open(room.options.clone()) {
        Err(OpenError::InUse { pid, .. }) => assert_eq!(pid, std::process::id()),
        other => panic!("{other:?}"),
    }
    assert_eq!(check(room.path()).unwrap().in_use_by.and_then(|owner| owner.pid), Some(std::process::id()));
    store.close();
    assert_eq!(check(room.path()).unwrap().in_use_by, None);
    room.store();
}

#[test]
fn records_are_counted_by_what_they_have_in_common() {
    let room = Room::new();
    let store = room.store();
    put(&store, &transactions(0..40));
    put(&store, &[samples::session(50)]);
    let tally = store.tally(&Query::default(), &[Field::State, Field::Domain]).unwrap();
    assert_eq!(tally.by[0], [("accepted".to_owned(), 36), ("deferred".to_owned(), 2), ("rejected".to_owned(), 2)]);
    assert_eq!((tally.transactions, tally.sessions, tally.recipients), (40, 1, 40));
    assert_eq!((tally.by[1].len(), tally.explained.records_read), (40, 0), "counted out of the index");
    let rejected = Query::of(Term::State(State::Rejected));
    assert_eq!(store.tally(&rejected, &[Field::Code]).unwrap().by[0], [("550".to_owned(), 2)]);
    let some = Query { since: Some(NOON + 5_000), until: Some(NOON + 25_000), ..Query::default() };
    let tally = store.tally(&some, &[Field::State]).unwrap();
    assert_eq!((tally.transactions, tally.explained.records_read > 0), (20, true), "the edges are looked at");
}

#[test]
fn days_beyond_the_limit_are_removed() {
    let mut room = Room::new();
    room.options.keep_days = 2;
    let store = room.store();
    for day in 0..4 {
        put(&store, &transactions(day..day + 1));
        room.advance(Duration::from_secs(86_400));
    }
    // The writer is in the fourth day, which the clock has left; the keeper looks when a file is finished.
    put(&store, &transactions(4..5));
    until(|| store.stats().unwrap().days == 3);
    assert_eq!(everything(&store), transactions(2..5));
    assert_eq!(store.fetch(samples::id(0)).unwrap(), None);
    // The days, the lock and the catalog of the index.
    until(|| std::fs::read_dir(room.path()).unwrap().count() == 5);
}

#[test]
fn a_stopped_store_can_be_asked() {
    let room = Room::new();
    let store = room.store();
    put(&store, &transactions(0..10));
    store.close();
    let before = room.journal();
    let opened = Store::open_offline(room.options.clone()).unwrap();
    assert!(!opened.report.unfinished);
    assert_eq!(find(&opened.store, message_id(3)), transactions(3..4));
    opened.store.close();
    assert_eq!(room.journal(), before);
}

#[test]
fn a_store_that_cannot_be_written_is_asked_as_it_lies_there() {
    let mut room = Room::new();
    room.options.segment_octets = 10_000;
    let store = room.store();
    put(&store, &transactions(0..60));
    sealed(&store);
    put(&store, &transactions(60..70));
    store.close();
    std::fs::remove_file(room.path().join("lock")).unwrap();
    let torn = room.journal().into_iter().rev().find(|path| path.extension().is_some_and(|it| it == "log")).unwrap();
    let whole = std::fs::read(&torn).unwrap();
    std::fs::write(&torn, [&whole[..], b"half a frame"].concat()).unwrap();
    let files = |dir: &Path| {
        let mut files: Vec<_> = walk(dir).into_iter().map(|path| (std::fs::read(&path).unwrap(), path)).collect();
        files.sort();
        files
    };
    let before = files(room.path());
    let opened = Store::open_aside(&room.options, Clock::set(room.clock.clone())).unwrap();
    for no in [0, 59, 69] {
        assert_eq!(find(&opened.store, message_id(no)), transactions(no..no + 1));
    }
    assert_eq!(everything(&opened.store), transactions(0..70));
    opened.store.close();
    assert!(files(room.path()) == before, "not an octet was written there");
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn a_store_that_a_command_keeps_is_waited_for() {
    let room = Room::new();
    let command = room.open_for(Use::Offline).store;
    match Store::open(room.options.clone()) {
        Err(error @ OpenError::InUseByCommand { pid, .. }) => {
            assert_eq!(pid, std::process::id());
            assert!(error.is_in_use() && error.may_pass());
            let store = Store::unavailable(room.options.clone(), &error);
            command.close();
            until(|| matches!(store.health(), Health::Ok));
            put(&store, &transactions(0..5));
            assert_eq!(find(&store, message_id(4)), transactions(4..5));
        }
        other => panic!("{other:?}"),
    }
}

/// Root can write everywhere: what it made in the store of a proxy without rights would stand in that one's way.
#[test]
fn another_users_store_is_asked_and_not_written_to() {
    let room = Room::new();
    let store = room.store();
    put(&store, &transactions(0..5));
    store.close();
    let lock = room.path().join("lock");
    if std::os::unix::fs::chown(&lock, Some(65534), None).is_err() {
        return; // only root has something to be kept from
    }
    match Store::open_offline(room.options.clone()) {
        Err(error @ OpenError::NotOurs { owner: 65534, .. }) => assert!(!error.may_pass()),
        other => panic!("{other:?}"),
    }
    assert!(matches!(Import::begin(room.options.clone()), Err(ImportError::Open(OpenError::NotOurs { .. }))));
    let before = walk(room.path());
    let opened = Store::open_to_ask(room.options.clone()).unwrap();
    assert_eq!(everything(&opened.store), transactions(0..5));
    opened.store.close();
    assert_eq!(walk(room.path()), before);
}

#[test]
fn a_record_is_found_by_its_id_also_where_it_was_amended() {
    let room = Room::with_runs_of(16);
    let store = room.store();
    put(&store, &transactions(0..20));
    put(&store, &[samples::amendment(7, 100, State::Rejected)]);
    put(&store, &transactions(20..60));
    let found = find(&store, Term::Id(samples::id(7)));
    assert_eq!(found, [store.fetch(samples::id(7)).unwrap().unwrap()]);
}

#[test]
fn a_pattern_finds_what_stands_behind_a_long_beginning() {
    let room = Room::with_runs_of(16);
    let store = room.store();
    put(&store, &transactions(0..40));
    let mut mail = samples::plain(40);
    mail.message.subject = Some(format!("{}zebra", "a".repeat(120)));
    let record = Record::Transaction(Box::new(mail));
    put(&store, std::slice::from_ref(&record));
    put(&store, &transactions(41..80));
    assert_eq!(find(&store, Term::Like(TextField::Subject, "*zebra".to_owned())), [record]);
}

#[test]
fn a_record_whose_time_was_still_to_come_is_fetched_with_what_became_known_of_it() {
    let room = Room::with_runs_of(16);
    let store = room.store();
    let id = RecordId::from_parts(samples::id(1).unix_ms() + 5 * 86_400_000, 7);
    put(&store, &[Record::Transaction(Box::new(Transaction { id, ..samples::plain(1) }))]);
    let Record::Amendment(amendment) = samples::amendment(1, 100, State::Rejected) else { panic!("an amendment") };
    put(&store, &[Record::Amendment(Box::new(Amendment { of: id, ..*amendment }))]);
    put(&store, &transactions(2..40));
    for _ in 0..2 {
        let Some(Record::Transaction(found)) = store.fetch(id).unwrap() else { panic!("it is there") };
        assert_eq!(found.outcome.state, State::Rejected);
        assert_eq!(find(&store, Term::Id(id)).len(), 1);
        // When that time has come it is no different.
        room.advance(Duration::from_secs(7 * 86_400));
        put(&store, &transactions(50..60));
    }
}

#[test]
fn what_is_followed_is_no_more_than_is_good_for_the_memory() {
    let room = Room::new();
    let store = room.store();
    put(&store, &transactions(0..40));
    let (mut all, mut at, mut pages) = (Vec::new(), None, 0);
    loop {
        // Each counts as some 4 KiB.
        let (records, next, more) = store.follow_within(at, 30, 40_000).unwrap();
        assert!(records.len() < 12, "{}", records.len());
        all.extend(records);
        (at, pages) = (Some(next), pages + 1);
        if !more {
            break;
        }
    }
    assert!(pages > 3, "{pages}");
    assert_eq!(all, transactions(0..40));
    let (records, _, more) = store.follow_within(None, 30, usize::MAX).unwrap();
    assert!(records.len() == 30 && more);
}

#[test]
fn what_a_store_makes_is_not_for_everybody() {
    use std::os::unix::fs::PermissionsExt;
    let mut room = Room::new();
    room.options.segment_octets = 10_000;
    // Made before, with the usual mask.
    std::fs::create_dir(room.path()).unwrap();
    let store = room.store();
    for no in 0..20 {
        put(&store, &transactions(no..no + 1));
    }
    sealed(&store);
    store.close();
    let others = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7;
    let day = room.path().join("2026-11-23");
    for path in [vec![day.clone(), day.join("journal")], room.journal()].concat() {
        assert_eq!(others(&path), 0, "{}", path.display());
    }
}
