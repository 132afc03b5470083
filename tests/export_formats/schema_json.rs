//! Our own JSON is what the schema in `config/` says, cut down or not, and says the same as `show --json`.

use relayscope::export::format::{Context, Format};
use serde_json::Value;

use super::{context, encoded, encoded_with, records};

#[test]
fn events_are_records_of_the_public_shape() {
    let schema: Value = serde_json::from_str(include_str!("../../config/record.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (name, record) in records::all() {
        let whole: Value = serde_json::from_slice(&encoded(Format::Json, &record).0).unwrap();
        assert_eq!(whole, serde_json::to_value(relayscope::trace::json::Record::from(&record)).unwrap(), "{name}");
        for max_event in [65_536, 16_384, 8_192, 4_096] {
            let event: Value = serde_json::from_slice(&encoded_with(Format::Json, &record, Context { max_event, ..context() }).0).unwrap();
            let bare = event["truncated"] == serde_json::json!(["rest"]);
            assert!(bare || validator.is_valid(&event), "{name} in {max_event} octets: {event}");
            assert!(!bare || name == "hostile", "{name} doesn't fit into {max_event} octets");
        }
    }
}
