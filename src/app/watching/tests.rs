//! What the watch tells of, keeps and leaves alone.

use super::*;
use crate::anomaly::samples::{MONDAY, id, origin};
use crate::path::incidents;
use crate::trace::Anomaly;

#[test]
fn what_is_long_over_when_the_watch_begins_is_no_news() {
    let book = Book::new(crate::anomaly::book::Options::default(), origin());
    let mut course = Course {
        watch: Watch::with(Vec::new(), book),
        at: Cursor::at_start_of(Day::of(MONDAY)),
        current: false,
        blind: false,
        unrecorded: Unrecorded::default(),
        learning: false,
        started: MONDAY + 30 * NEWS,
        untold: Vec::new(),
        kept: Instant::now(),
        forgotten: 0,
    };
    let entry = |no: u64, hour: u64, step| {
        let entry = notify::tests::entry(Anomaly::UpstreamDown, &[], "main is down");
        Incident { incident: id(MONDAY, no), at: MONDAY + hour * NEWS, step, ..entry }
    };
    assert!(!course.is_news(&entry(1, 1, IncidentStep::Opened)));
    assert!(!course.is_news(&entry(2, 2, IncidentStep::Opened)));
    assert!(!course.is_news(&entry(3, 2, IncidentStep::Opened)));
    assert!(!course.is_news(&entry(1, 3, IncidentStep::Resolved)));
    assert_eq!(course.untold, [id(MONDAY, 2), id(MONDAY, 3)]);
    // What was told of before has an end to be told of.
    assert!(course.is_news(&entry(9, 3, IncidentStep::Resolved)));
    assert!(course.is_news(&entry(2, 29, IncidentStep::Changed)));
    assert!(course.is_news(&entry(4, 31, IncidentStep::Opened)));
    // Still open when everything is read: told then.
    assert_eq!(course.untold, [id(MONDAY, 3)]);
}

fn follower(store: &Store, dir: PathBuf) -> (Follower, SyncSender<()>) {
    let notify = crate::config::NotifyOptions { severity: crate::trace::Severity::Notice, webhook: None, command: Vec::new() };
    let (stop, stopped) = sync_channel(1);
    let follower = Follower {
        board: Board { quotas: Arc::default(), incidents: Arc::default() },
        store: store.clone(),
        dir,
        notifier: Notifier::start(&notify).0,
        options: WatchOptions { enabled: true, enforce_limits: false, anomaly: crate::anomaly::Options::default(), notify },
        origin: origin(),
        asker: None,
        stopped,
        left: Arc::default(),
    };
    (follower, stop)
}

#[test]
fn one_that_was_left_behind_writes_nothing_when_it_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(crate::store::Options::new(dir.path())).unwrap().store;
    let (follower, _stop) = follower(&store, dir.path().to_owned());
    let mut course = follower.begin();
    course.learning = false;
    let entry = notify::tests::entry(Anomaly::UpstreamDown, &[], "main is down");
    follower.left.store(true, Relaxed);
    follower.publish(&mut course, vec![Incident { at: store.now(), ..entry.clone() }]);
    follower.keep(&mut course);
    assert!(!course.unrecorded.has(entry.id));
    assert_eq!(State::read(dir.path()), None);
    follower.left.store(false, Relaxed);
    follower.keep(&mut course);
    assert!(State::read(dir.path()).is_some());
    store.close();
}

#[test]
fn a_store_that_fails_from_the_start_is_told_of_and_recorded_once_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("store");
    std::fs::write(&place, b"a file where a directory should be").unwrap();
    let options = crate::store::Options::new(&place);
    let error = Store::open(options.clone()).unwrap_err();
    let store = Store::unavailable(options, &error);
    let (follower, _stop) = follower(&store, place.clone());
    let mut course = follower.begin();
    assert!(matches!(follower.look(&mut course), Err(StoreError::Unavailable { .. })));
    // A minute later.
    course.watch = follower.blind_watch();
    course.watch.tick(store.now() - 60_000_000, &mut Vec::new());
    assert!(matches!(follower.look(&mut course), Err(StoreError::Unavailable { .. })));
    let unrecorded = store.unrecorded();
    assert_eq!(unrecorded.iter().map(|it| (it.anomaly, it.step)).collect::<Vec<_>>(), [(Anomaly::TracingGap, IncidentStep::Opened)]);
    let id = unrecorded[0].incident;
    // Whoever is notified can ask for it.
    assert!(incidents::course(&store, id).unwrap().is_some());
    assert_eq!(store.records_lost(), 0, "it isn't handed in while that is in vain");

    std::fs::remove_file(&place).unwrap();
    while !store.health().is_ok() {
        std::thread::sleep(Duration::from_millis(50));
    }
    follower.look(&mut course).unwrap();
    store.end().unwrap();
    follower.look(&mut course).unwrap();
    assert_eq!(store.unrecorded(), []);
    let listed = incidents::list(&store, &incidents::Asked { limit: 10, ..Default::default() }).unwrap();
    assert_eq!(listed.incidents.iter().map(|it| it.incident.0).collect::<Vec<_>>(), [id]);
    assert_eq!(incidents::course(&store, id).unwrap().unwrap().entries.len(), 1);
    assert_eq!(course.watch.book.open().iter().map(|it| it.incident).collect::<Vec<_>>(), [id]);
}
