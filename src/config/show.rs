//! Shows the effective configuration as a file, with where each value comes from. Holds no secret: they are never in it.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::problem::{Location, Places};
use super::raw::Raw;

/// The column at which origins stand, where values are short enough.
const ORIGIN_COLUMN: usize = 44;

pub(super) fn render(effective: &Raw, places: &Places) -> String {
    let mut out = String::new();
    if let Ok(Value::Object(root)) = serde_json::to_value(effective) {
        table(&root, "", "", places, &mut out);
    }
    out
}

/// First 16 hex digits of the BLAKE3 of what is effective.
pub(super) fn digest(effective: &Raw) -> String {
    let canonical = serde_json::to_vec(effective).unwrap_or_default();
    blake3::hash(&canonical).to_hex().chars().take(16).collect()
}

/// Options first, then the tables in it: TOML has no way back to an outer table.
fn table(table: &Map<String, Value>, path: &str, header: &str, places: &Places, out: &mut String) {
    let is_table = |value: &Value| value.is_object() || value.as_array().is_some_and(|items| items.iter().any(Value::is_object));
    for (key, value) in table.iter().filter(|(_, value)| !is_table(value)) {
        let path = join(path, key);
        match value {
            Value::Null => {}
            value => line(key, value, &places.of_value(&path), out),
        }
        if key.starts_with("password_") && !value.is_null() {
            out.push_str("# the password it gives: [redacted]\n");
        }
    }
    for (key, value) in table.iter().filter(|(_, value)| is_table(value)) {
        let (path, header) = (join(path, key), join(header, key));
        match value {
            Value::Object(inner) => {
                let _ = writeln!(out, "\n[{header}]");
                self::table(inner, &path, &header, places, out);
            }
            Value::Array(items) => {
                for (number, inner) in items.iter().enumerate().filter_map(|(number, item)| Some((number, item.as_object()?))) {
                    let _ = writeln!(out, "\n[[{header}]]");
                    self::table(inner, &join(&path, &number.to_string()), &header, places, out);
                }
            }
            _ => {}
        }
    }
}

fn line(key: &str, value: &Value, origin: &Location, out: &mut String) {
    let text = format!("{key} = {}", toml(value));
    let _ = writeln!(out, "{text:<ORIGIN_COLUMN$}# {origin}");
}

fn toml(value: &Value) -> String {
    match value {
        Value::String(text) => toml::Value::String(text.clone()).to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn join(outer: &str, key: &str) -> String {
    if outer.is_empty() { key.to_owned() } else { format!("{outer}.{key}") }
}
