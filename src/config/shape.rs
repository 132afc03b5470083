//! Holds the file against the schema of [`Raw`]: unknown keys, wrong types, words, ranges. All of it, with places.
//!
//! serde would stop at the first error. What is wrong here is told and left out, so that the rest can be checked as well.

use std::ops::Range;
use std::path::Path;
use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::nearest::nearest;
use super::problem::{Findings, Places};
use super::raw::Raw;
use super::units::{Interval, Octets};
use super::written::{self, Written};

/// Longer values are not repeated in errors.
const VALUE_SHOWN: usize = 60;

/// The JSON Schema of the file.
pub(super) static SCHEMA: LazyLock<Value> =
    LazyLock::new(|| SchemaSettings::default().into_generator().into_root_schema_for::<Raw>().to_value());

/// Reads what can be read; `findings` gets the rest, and the place of each option.
pub(super) fn read(file: &Path, text: &str, findings: &mut Findings) -> Raw {
    findings.places = Places::of_file(file, text);
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let offset = error.span().map_or(0, |span| span.start);
        let why = not_toml(error.message(), text, error.span().unwrap_or_default());
        findings.refuse_at(offset, format!("not TOML: {why}"));
    }
    if !errors.is_empty() {
        findings.broken("");
        return Raw::default(); // what was recovered is not what was meant
    }
    let mut walk = Walk { text, findings };
    let json = walk.table(root.get_ref(), &SCHEMA, &Spot::default());
    serde_json::from_value(Value::Object(json)).unwrap_or_else(|error| {
        // The schema and the types disagree: a bug, but no reason to go on with half of a configuration.
        findings.broken("");
        findings.refuse("", format!("cannot be read: {error}"));
        Raw::default()
    })
}

/// The parser's words, with what they are about where they don't name it: the key that is there twice, the text that lacks its quotes.
fn not_toml(message: &str, text: &str, span: Range<usize>) -> String {
    let message = message.replace('\n', "; ");
    if message == "duplicate key" {
        let key = text.get(span).map(str::trim).filter(|key| key.len() <= VALUE_SHOWN && !key.contains('\n'));
        return key.map_or(message.clone(), |key| format!("{message} {key}: it stands above already"));
    }
    let ends = |it: char| it.is_whitespace() || matches!(it, '=' | '[' | ']' | '{' | '}' | ',' | '"' | '\'' | '#');
    let (before, behind) = text.split_at_checked(span.start).unwrap_or_default();
    let begin = before.rfind(ends).and_then(|at| Some(at + before.get(at..)?.chars().next()?.len_utf8())).unwrap_or(0);
    let end = behind.find(ends).map_or(text.len(), |at| span.start + at);
    let word = text.get(begin..end).unwrap_or_default();
    let is_address = word.contains(':') || word.matches('.').count() > 1 || word.contains('@');
    if message.starts_with("invalid") && is_address && word.len() <= VALUE_SHOWN && !is_secret(text.get(..begin).unwrap_or_default()) {
        return format!("{message}; text stands in quotes: write \"{word}\"");
    }
    message
}

/// Whether what follows is a secret, by the key that it is said to be of.
fn is_secret(before: &str) -> bool {
    let sign = before.rfind('=').unwrap_or(before.len());
    let line = before.get(..sign).and_then(|above| above.rfind('\n')).unwrap_or(0);
    let key = before.get(line..).unwrap_or_default().to_ascii_lowercase();
    names_a_secret(&key)
}

/// Whether an option's value may be a secret, or hold one as URLs do, or may stand where a secret's place was asked for. `key`: in small letters.
fn names_a_secret(key: &str) -> bool {
    ["pass", "secret", "token", "key", "webhook", "url"].iter().any(|word| key.contains(word))
}

struct Walk<'a> {
    text: &'a str,
    findings: &'a mut Findings,
}

/// Where the walk is.
#[derive(Default, Clone)]
struct Spot {
    /// `upstream.0.auth`; empty at the root.
    path: String,
    /// What errors begin with: `upstream "main" auth`; empty at the root.
    label: String,
    key: String,
}

impl Spot {
    fn step(&self, key: &str) -> Self {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Self { path, label: self.label.clone(), key: key.to_owned() }
    }

    /// The spot of a table: its own errors, and those of its keys, begin with its name.
    fn named(mut self, name: Option<&str>) -> Self {
        let plain = self.path.split('.').all(|part| part.parse::<usize>().is_err());
        self.label = match (name, plain) {
            (Some(name), _) => format!("{} {name}", self.key),
            (None, true) => format!("[{}]", self.path),
            (None, false) => format!("{} {}", self.label, self.key),
        };
        self
    }

    /// As it is written: within the last of an array's tables, whose number isn't.
    fn header(&self) -> String {
        self.path.split('.').filter(|part| part.parse::<usize>().is_err()).collect::<Vec<_>>().join(".")
    }

    fn says(&self, text: &str) -> String {
        if self.label.is_empty() { text.to_owned() } else { format!("{}: {text}", self.label) }
    }
}

impl Walk<'_> {
    fn table(&mut self, table: &DeTable<'_>, schema: &Value, spot: &Spot) -> Map<String, Value> {
        let known = properties(schema);
        let mut kept = Map::new();
        for (key, value) in table {
            let name: &str = key.get_ref();
            let at = spot.step(name);
            match known.get(name) {
                Some(option) => {
                    self.findings.places.found(&at.path, key.span().start);
                    if let Some(json) = self.value(value, option, at) {
                        kept.insert(name.to_owned(), json);
                    }
                }
                None => self.unknown(key, known, spot),
            }
        }
        kept
    }

    /// Says where an unknown key belongs, what it may mean, or what else there is. What is misspelt is not missing.
    fn unknown(&mut self, key: &Spanned<DeString<'_>>, known: &Map<String, Value>, spot: &Spot) {
        let name: &str = key.get_ref();
        let hint = if known.contains_key("password_file") && ["password", "secret", "token", "pass"].contains(&name) {
            self.findings.broken(&spot.step("password_file").path);
            "secrets don't stand in this file: write them to a file of their own and name it in password_file".to_owned()
        } else if let Some(near) = nearest(name, known.keys().map(String::as_str)) {
            self.findings.broken(&spot.step(near).path);
            format!("did you mean \"{near}\"?")
        } else if let Some(section) = sections_with(name, &SCHEMA, "").first() {
            format!("it belongs in {section}")
        } else {
            format!("known here are {}", known.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
        };
        let short: String = name.chars().take(VALUE_SHOWN).collect();
        self.findings.refuse_at(key.span().start, spot.says(&format!("unknown key {short:?}: {hint}")));
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, schema: &Value, spot: Spot) -> Option<Value> {
        let schema = without_null(schema);
        match (kind(schema), value.get_ref()) {
            ("object", DeValue::Table(table)) => Some(Value::Object(self.table(table, schema, &spot.named(None)))),
            ("array", DeValue::Array(items)) => {
                let item = schema.get("items").unwrap_or(&Value::Null);
                let mut kept = Vec::new();
                for value in items {
                    kept.extend(self.item(kept.len(), value, item, &spot));
                }
                Some(Value::Array(kept))
            }
            ("boolean", DeValue::Boolean(flag)) => Some(json!(flag)),
            ("string", DeValue::String(text)) => self.text(text, value.span(), schema, &spot),
            ("integer", DeValue::Integer(number)) | ("string", DeValue::Integer(number)) if takes_integer(schema) => {
                let parsed = i128::from_str_radix(number.as_str(), number.radix()).ok();
                self.number(parsed, value.span(), schema, &spot)
            }
            (wanted, given) => {
                let text = mismatch(wanted, given, schema, &spot);
                let text =
                    if text.is_empty() { self.quoted(&spot, value.span(), &format!("must be {}", wanted_words(schema))) } else { text };
                self.refuse(&spot, value.span(), text)
            }
        }
    }

    /// `number` is its place among those that can be read: so they will be counted later.
    fn item(&mut self, number: usize, value: &Spanned<DeValue<'_>>, schema: &Value, spot: &Spot) -> Option<Value> {
        let mut at = spot.step(&number.to_string());
        at.key.clone_from(&spot.key);
        self.findings.places.found(&at.path, value.span().start);
        match value.get_ref() {
            DeValue::Table(table) if kind(schema) == "object" => {
                let given = table.get("name").and_then(|name| name.get_ref().as_str());
                let default = || properties(schema).get("name").and_then(|name| name.get("default")).and_then(Value::as_str);
                let name = given.or_else(default).map(|name| format!("{name:?}"));
                Some(Value::Object(self.table(table, schema, &at.named(name.as_deref()))))
            }
            _ => self.value(value, schema, at),
        }
    }

    fn text(&mut self, text: &str, span: Range<usize>, schema: &Value, spot: &Spot) -> Option<Value> {
        let words: Vec<&str> = schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        if !words.is_empty() {
            if words.contains(&text) {
                return Some(json!(text));
            }
            let guess = nearest(text, words.iter().copied()).map(|word| format!(" (did you mean \"{word}\"?)")).unwrap_or_default();
            let list = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
            let refusal = self.quoted(spot, span.clone(), &format!("must be one of {list}{guess}"));
            return self.refuse(spot, span, refusal);
        }
        let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
        let longest = schema.get("maxLength").and_then(Value::as_u64).unwrap_or(4096);
        let wrong = match written::check(format, text) {
            Some(outcome) => outcome.err().or_else(|| out_of_range(text, schema)),
            None if text.is_empty() => Some("is empty: give it a value, or remove the line for the default".to_owned()),
            None if text.chars().any(char::is_control) => Some("has a control character in it".to_owned()),
            None if text.len() as u64 > longest => Some(format!("is longer than {longest} octets")),
            None => None,
        };
        match wrong {
            None => Some(json!(text)),
            Some(wrong) => {
                let refusal = self.quoted(spot, span.clone(), &wrong);
                self.refuse(spot, span, refusal)
            }
        }
    }

    fn number(&mut self, number: Option<i128>, span: Range<usize>, schema: &Value, spot: &Spot) -> Option<Value> {
        let bound = |name: &str| schema.get(name).and_then(Value::as_i64).map(i128::from);
        let wrong = match (number, bound("minimum").unwrap_or(0), bound("maximum")) {
            (Some(number), least, Some(most)) if number < least || number > most => Some(format!("must be from {least} to {most}")),
            (None, least, Some(most)) => Some(format!("must be from {least} to {most}")),
            (Some(number), least, None) if number >= 0 && number < least => Some(format!("must be at least {least}")),
            (Some(number), ..) if number < 0 => Some("must not be negative".to_owned()),
            (Some(number), ..) if widest(schema).is_some_and(|most| number > most) => {
                Some(format!("must be at most {}", widest(schema).unwrap_or_default()))
            }
            (Some(number), ..) if i64::try_from(number).is_ok() => out_of_range(&number.to_string(), schema),
            _ => Some("is too large".to_owned()),
        };
        match (wrong, number.and_then(|number| i64::try_from(number).ok())) {
            (None, Some(number)) => Some(json!(number)),
            (wrong, _) => {
                let refusal = self.quoted(spot, span.clone(), &wrong.unwrap_or_default());
                self.refuse(spot, span, refusal)
            }
        }
    }

    fn refuse(&mut self, spot: &Spot, span: Range<usize>, text: String) -> Option<Value> {
        self.findings.broken(&spot.path);
        self.findings.refuse_at(span.start, spot.says(&text));
        None
    }

    /// `key = value …`, the value as it stands in the file, unless it could be a secret.
    fn quoted(&self, spot: &Spot, span: Range<usize>, text: &str) -> String {
        // EHLO's keywords, whatever it sounds like.
        let is_open = spot.key == "pass" || !names_a_secret(&spot.key);
        match self.text.get(span) {
            Some(value) if value.len() <= VALUE_SHOWN && !value.contains('\n') && is_open => {
                format!("{} = {value} {text}", spot.key)
            }
            _ => format!("{} {text}", spot.key),
        }
    }
}

/// The most that the option's type takes, where nothing else bounds it: the schema has no word for that but the type's name.
fn widest(schema: &Value) -> Option<i128> {
    match schema.get("format")?.as_str()? {
        "uint8" => Some(u8::MAX.into()),
        "uint16" => Some(u16::MAX.into()),
        "uint32" => Some(u32::MAX.into()),
        "int32" => Some(i32::MAX.into()),
        _ => None,
    }
}

/// Mistakes of structure, which have words of their own.
fn mismatch(wanted: &str, given: &DeValue<'_>, schema: &Value, spot: &Spot) -> String {
    let of_tables = || schema.get("items").is_some_and(|items| kind(items) == "object");
    match (wanted, given) {
        ("array", DeValue::Table(_)) if of_tables() => format!("there can be several: write [[{0}]] instead of [{0}]", spot.header()),
        ("object", DeValue::Array(_)) => format!("there is only one: write [{0}] instead of [[{0}]]", spot.header()),
        ("array", DeValue::String(text)) if !of_tables() => format!("{} is a list: write {0} = [{1:?}]", spot.key, text),
        _ => String::new(),
    }
}

fn wanted_words(schema: &Value) -> String {
    match (kind(schema), schema.get("format").and_then(Value::as_str)) {
        ("string", Some(Interval::FORMAT)) => "a duration with its unit, for example \"30s\" or \"5m\"".to_owned(),
        ("string", Some(Octets::FORMAT)) => "a size, for example \"64 KiB\" or \"10 MB\"".to_owned(),
        ("string", _) => "text in quotes".to_owned(),
        ("integer", _) => "a whole number".to_owned(),
        ("boolean", _) => "true or false".to_owned(),
        ("array", _) => "a list in brackets".to_owned(),
        _ => "a table".to_owned(),
    }
}

/// The headers of the tables that know `key`.
fn sections_with(key: &str, schema: &Value, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (name, option) in properties(schema) {
        let option = without_null(option);
        let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let (table, header) = match option.get("items") {
            Some(items) => (items, format!("[[{inner}]]")),
            None => (option, format!("[{inner}]")),
        };
        if properties(table).contains_key(key) {
            found.push(header);
        }
        found.extend(sections_with(key, table, &inner));
    }
    found
}

/// Ranges of sizes and durations, which JSON Schema has no word for.
fn out_of_range(text: &str, schema: &Value) -> Option<String> {
    let pair = |name: &str| schema.get(name).and_then(Value::as_array).and_then(|pair| Some((pair.first()?, pair.get(1)?)));
    if let Some((least, most)) = pair("x-octets") {
        let (least, most) = (Octets(least.as_u64()?), Octets(most.as_u64()?));
        let given = Octets::parse(text).ok()?;
        return (given.0 < least.0 || given.0 > most.0).then(|| format!("must be from \"{least}\" to \"{most}\""));
    }
    let (least, most) = pair("x-duration")?;
    let (least, most) = (Interval::parse(least.as_str()?).ok()?, Interval::parse(most.as_str()?).ok()?);
    let given = Interval::parse(text).ok()?;
    (given.0 < least.0 || given.0 > most.0).then(|| format!("must be from \"{least}\" to \"{most}\""))
}

static NOTHING: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

pub(super) fn properties(schema: &Value) -> &Map<String, Value> {
    schema.get("properties").and_then(Value::as_object).unwrap_or(&NOTHING)
}

/// The schema of an option that may be absent, without the alternative "null": TOML has none.
pub(super) fn without_null(schema: &Value) -> &Value {
    let alternatives = schema.get("anyOf").and_then(Value::as_array);
    alternatives.and_then(|any| any.iter().find(|one| kind(one) != "null")).unwrap_or(schema)
}

fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).find(|&kind| kind != "null").unwrap_or_default(),
        _ => "",
    }
}

fn takes_integer(schema: &Value) -> bool {
    match schema.get("type") {
        Some(Value::String(kind)) => kind == "integer",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "integer"),
        _ => false,
    }
}
