//! The events of the export: as golden files, read back by parsers that know only the specifications, checked against the public schemas.
//!
//! `RELAYSCOPE_BLESS=1 cargo test --test export_formats` writes golden files and samples anew; read the difference before you commit it.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test that fails says where")]

#[allow(dead_code, reason = "shared with the tests of the JSON shape")]
#[path = "../../src/trace/json/tests/dice.rs"]
mod dice;
mod golden;
mod laws;
mod otlp;
mod parsers;
mod records;
mod schema_ecs;
mod schema_flat;
mod schema_json;
mod schema_ocsf;
mod siem;
mod truncation;

// Where the dice look for it.
use relayscope::trace;

use relayscope::export::format::{Context, Encoder, Format, Meta};
use relayscope::trace::Record;

fn context() -> Context {
    Context::new("relay1.corp.example")
}

/// One event, and what is said of it.
#[track_caller]
fn encoded(format: Format, record: &Record) -> (Vec<u8>, Meta) {
    encoded_with(format, record, context())
}

#[track_caller]
fn encoded_with(format: Format, record: &Record, context: Context) -> (Vec<u8>, Meta) {
    let mut out = b"before".to_vec();
    let meta = Encoder::new(format, context).encode(record, &mut out).expect("a kind that is forwarded");
    (out.strip_prefix(b"before").expect("what stood there before").to_vec(), meta)
}
