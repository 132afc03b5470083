//! Any record becomes JSON that the schema in the repository accepts, that has no null, and that reads back as itself.

mod dice;

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;

use super::{Record, Time, schema};
use crate::trace::{self, record};
use dice::Dice;

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.iter().any(has_null),
        Value::Object(values) => values.values().any(has_null),
        _ => false,
    }
}

fn schema_file() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/record.schema.json")
}

/// `RELAYSCOPE_BLESS=1 cargo test` writes the file anew.
#[test]
fn schema_in_the_repository_is_current() {
    let current = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os("RELAYSCOPE_BLESS").is_some() {
        std::fs::write(schema_file(), &current).unwrap();
    }
    let written = std::fs::read_to_string(schema_file()).unwrap();
    assert!(written == current, "config/record.schema.json is not what the types say: run RELAYSCOPE_BLESS=1 cargo test schema");
}

#[test]
fn schema_refuses_what_is_not_a_record() {
    let validator = jsonschema::validator_for(schema().as_value()).unwrap();
    let good = Record::from(&Dice(&[3]).record());
    let good = serde_json::to_value(good).unwrap();
    assert!(validator.is_valid(&good), "{good}");
    for (field, wrong) in [("v", 2.into()), ("kind", "transaction".into()), ("at", "yesterday".into()), ("why", Value::Null)] {
        let mut bad = good.clone();
        bad[field] = wrong;
        assert!(!validator.is_valid(&bad), "{field}: {bad}");
    }
}

#[test]
fn codes_are_numbers_and_times_have_six_digits() {
    let reply = record::Reply { code: 550, enhanced: Some((5, 1, 1)), lines: vec!["5.1.1 no".into()] };
    assert_eq!(
        serde_json::to_string(&super::Reply::<String>::from(&reply)).unwrap(),
        r#"{"code":550,"enhanced":"5.1.1","lines":["5.1.1 no"]}"#
    );
    assert_eq!(Time(1_763_892_131_000_000).to_string(), "2025-11-23T10:02:11.000000Z");
    assert_eq!(Time(u64::MAX).to_string(), "9999-12-30T22:00:00.999999Z");
}

proptest! {
    #[test]
    fn any_record_validates_and_reads_back(octets in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        static VALIDATOR: std::sync::LazyLock<jsonschema::Validator> =
            std::sync::LazyLock::new(|| jsonschema::validator_for(schema().as_value()).unwrap());
        let record = Record::from(&Dice(&octets).record());
        let value = serde_json::to_value(&record).unwrap();
        if let Some(error) = VALIDATOR.iter_errors(&value).next() {
            prop_assert!(false, "{error} at {} in {value}", error.instance_path());
        }
        prop_assert!(!has_null(&value));
        let back: Record = serde_json::from_value(value.clone()).unwrap();
        prop_assert_eq!(serde_json::to_value(&back).unwrap(), value);
    }

    /// The one thing that JSON can't say is a moment after the year 9999.
    #[test]
    fn any_record_comes_back_from_its_json(octets in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let before = Dice(&octets).record();
        let json = serde_json::to_string(&Record::from(&before)).unwrap();
        let after = trace::Record::try_from(super::read(json.as_bytes()).unwrap()).unwrap();
        prop_assert_eq!(kept_once(after), kept_once(before));
    }
}

/// Lines of the dialogue that stand for two are the same as the two.
fn kept_once(mut record: trace::Record) -> trace::Record {
    let again = |timeline: &mut trace::Timeline| {
        *timeline = super::into::timeline(&super::from::lines(timeline), timeline.cut, timeline.is_dropped())
    };
    let year_9999 = |at: &mut u64| *at = (*at).min(253_402_207_200_999_999);
    let tls = |it: &mut Option<record::Tls>| it.iter_mut().filter_map(|it| it.expires_at.as_mut()).for_each(year_9999);
    match &mut record {
        trace::Record::Transaction(it) => {
            again(&mut it.timeline);
            year_9999(&mut it.at);
            tls(&mut Arc::make_mut(&mut it.client).tls);
            tls(&mut Arc::make_mut(&mut it.upstream).tls);
        }
        trace::Record::Session(it) => {
            again(&mut it.timeline);
            year_9999(&mut it.at);
            tls(&mut Arc::make_mut(&mut it.client).tls);
            tls(&mut Arc::make_mut(&mut it.upstream).tls);
        }
        trace::Record::Amendment(it) => year_9999(&mut it.at),
        trace::Record::Log(it) => year_9999(&mut it.at),
        trace::Record::Audit(it) => {
            year_9999(&mut it.at);
            it.since.iter_mut().for_each(year_9999);
        }
        trace::Record::Incident(it) => {
            [&mut it.at, &mut it.since, &mut it.last].into_iter().for_each(year_9999);
            it.mute.iter_mut().for_each(|mute| year_9999(&mut mute.until));
            it.change.iter_mut().filter_map(|change| change.last_before.as_mut()).for_each(year_9999);
        }
        trace::Record::Gap(it) => [&mut it.from, &mut it.until].into_iter().for_each(year_9999),
        trace::Record::Mark(it) => {
            year_9999(&mut it.at);
            tls(&mut Arc::make_mut(&mut it.client).tls);
            tls(&mut Arc::make_mut(&mut it.upstream).tls);
        }
    }
    record
}
