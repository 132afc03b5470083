//! Questions to a shelf of records, and their answers held by golden files.

use jiff::tz::TimeZone;
use relayscope::cli::locate;
use relayscope::cli::screen::Look;
use relayscope::path::{self, Answer, Clock, Manner, What};

use super::{Shelf, at};

/// As asked at eleven.
pub fn ask(shelf: &Shelf, question: &str) -> Answer {
    let now = at("11:00:00");
    let what = What::parse(question, jiff::Timestamp::from_microsecond(now as i64).unwrap(), &TimeZone::UTC).unwrap();
    path::find(shelf, &what, Manner { limit: 20, now, outside: None }).unwrap()
}

#[track_caller]
pub fn held(name: &str, found: &str) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/where").join(name);
    if std::env::var_os("RELAYSCOPE_BLESS").is_some() {
        std::fs::write(&file, found).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == expected, "{name}: not as in {}:\n{found}", file.display());
}

#[track_caller]
pub fn golden(name: &str, answer: &Answer) {
    let found = format!("{}\n", serde_json::to_string_pretty(answer).unwrap());
    held(&format!("{name}.json"), &found);
    let read: Answer = serde_json::from_str(&found).unwrap();
    assert_eq!(&read, answer, "{name}: reads back");
    held(&format!("{name}.txt"), locate::render(answer, false, &look(Some(100))).as_str());
}

/// A terminal of that width, an hour east of UTC, at 12:00 on its wall.
pub fn look(width: Option<usize>) -> Look {
    let now = jiff::Timestamp::from_microsecond(at("11:00:00") as i64).unwrap();
    Look { colours: false, width, clock: Clock::local(TimeZone::fixed(jiff::tz::offset(1)), now), again: String::new() }
}
