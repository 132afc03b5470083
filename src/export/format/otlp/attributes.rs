//! Attributes of a log record or a span: bounded, and without anything that steers a terminal.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};

use crate::export::format::inert;

/// Octets of one attribute's text.
const MOST: usize = 512;

#[derive(Debug, Default)]
pub struct Attributes(pub Vec<KeyValue>);

impl Attributes {
    pub fn text(&mut self, key: &str, text: &str) {
        self.push(key, any_value::Value::StringValue(shown(text)));
    }

    pub fn some(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    pub fn number(&mut self, key: &str, number: u64) {
        self.push(key, any_value::Value::IntValue(i64::try_from(number).unwrap_or(i64::MAX)));
    }

    fn push(&mut self, key: &str, value: any_value::Value) {
        self.0.push(KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() });
    }
}

/// A text from the wire as others may show it: on one line, hostile characters visible, and not long.
pub fn shown(text: &str) -> String {
    let mut shown = Vec::new();
    inert::leef_value(&mut shown, inert::cut(text, MOST));
    String::from_utf8_lossy(&shown).into_owned()
}
