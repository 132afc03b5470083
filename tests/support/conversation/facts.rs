//! What the records must say: `= transaction state=accepted to=bob@y.example/accepted/end_of_data/upstream flags=bare_newline`.
//!
//! `key=value` is exact, `key~text` means "contains"; values with blanks stand in double quotes. Keys are the shorthands below or
//! paths into the record's public JSON (`phases.data_us`, `upstream.hidden.0.keyword`); what is not there is `absent`.
//! `flags` not mentioned means none; `to` given once means every recipient is given.

use relayscope::trace::{Record, json};
use serde_json::Value;

#[derive(Debug, Clone)]
pub struct Fact {
    pub line: usize,
    pub kind: String,
    wants: Vec<Want>,
}

#[derive(Debug, Clone)]
struct Want {
    key: String,
    contains: bool,
    value: String,
}

impl Fact {
    pub fn parse(line: usize, text: &str) -> Result<Self, String> {
        let mut words = words(text)?.into_iter();
        let kind = words.next().ok_or("which kind of record?")?;
        let wants = words.map(|word| Want::parse(&word)).collect::<Result<_, _>>()?;
        Ok(Self { line, kind, wants })
    }

    /// What is not as it must be.
    pub fn check(&self, record: &Record) -> Vec<String> {
        let made = public(record);
        let mut wrong = Vec::new();
        if record.kind().word() != self.kind {
            wrong.push(format!("a {} record is expected, this is a {}", self.kind, record.kind()));
        }
        wrong.extend(foreign_ids(&made));
        for want in self.wants.iter().filter(|want| want.key != "to") {
            let found = value(&made, &want.key);
            if !(if want.contains { found.contains(&want.value) } else { found == want.value }) {
                wrong.push(format!("{}: expected {}{}, found {found}", want.key, if want.contains { "…" } else { "" }, want.value));
            }
        }
        if !self.wants.iter().any(|want| want.key == "flags") && !value(&made, "flags").is_empty() {
            wrong.push(format!("flags: expected none, found {}", value(&made, "flags")));
        }
        let to: Vec<_> = self.wants.iter().filter(|want| want.key == "to").map(|want| want.value.clone()).collect();
        let found = recipients(&made);
        if !to.is_empty() && to != found {
            wrong.push(format!("recipients: expected {}, found {}", to.join(", "), found.join(", ")));
        }
        wrong
    }
}

impl Want {
    fn parse(word: &str) -> Result<Self, String> {
        let at = word.find(['=', '~']).ok_or_else(|| format!("{word}: expected key=value or key~text"))?;
        let (key, value) = word.split_at(at);
        Ok(Self { key: key.to_owned(), contains: value.starts_with('~'), value: value[1..].to_owned() })
    }
}

/// Blank-separated words; double quotes keep blanks together, a backslash takes the next character as it is.
fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut all, mut word, mut quoted) = (Vec::new(), String::new(), false);
    let mut rest = text.chars();
    while let Some(it) = rest.next() {
        match it {
            '\\' => word.extend(rest.next()),
            '"' => quoted = !quoted,
            ' ' if !quoted => all.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty())),
            other => word.push(other),
        }
    }
    all.extend(Some(word).filter(|word| !word.is_empty()));
    if quoted { Err("an open quote".into()) } else { Ok(all) }
}

fn public(record: &Record) -> Value {
    serde_json::to_value(json::Record::from(record)).unwrap_or(Value::Null)
}

/// Trace ids in replies of the proxy's own to a message that are neither its record's nor its session's: they would lead to another one.
fn foreign_ids(record: &Value) -> Vec<String> {
    if record.get("kind").and_then(Value::as_str) != Some("transaction") {
        return Vec::new();
    }
    let recipients = record.pointer("/envelope/recipients").and_then(Value::as_array).into_iter().flatten();
    let of_recipients = recipients.map(|recipient| recipient.get("reply"));
    let replies = ["/outcome/reply", "/envelope/reply"].into_iter().map(|at| record.pointer(at)).chain(of_recipients).flatten();
    let own = ["id", "session_id"].map(|key| record.get(key).and_then(Value::as_str).unwrap_or_default());
    let texts: Vec<String> = replies.map(Value::to_string).collect();
    let ids = texts.iter().filter_map(|text| text.split_once("(trace ")?.1.split_once(')').map(|(id, _)| id));
    ids.filter(|id| !own.contains(id)).map(|id| format!("a reply names {id}, the record is {} of {}", own[0], own[1])).collect()
}

fn path<'a>(kind: &str, key: &'a str) -> &'a str {
    match (kind, key) {
        ("transaction", "state") => "outcome.state",
        ("transaction", "stage") => "outcome.stage",
        ("transaction", "by") => "outcome.by",
        ("transaction", "detail") => "outcome.detail",
        ("session", "state") => "outcome.state",
        ("session", "by") => "ended.by",
        ("session", "stage") => "ended.stage",
        ("session", "how") => "ended.how",
        ("session", "detail") => "ended.detail",
        ("session", "commands") => "ended.commands",
        (_, "code") => "outcome.reply.code",
        (_, "enhanced") => "outcome.reply.enhanced",
        (_, "queue") => "outcome.upstream_queue_id",
        (_, "from") => "envelope.reverse_path",
        (_, "size") => "message.size",
        (_, "message_id") => "message.message_id",
        (_, key) => key,
    }
}

fn value(record: &Value, key: &str) -> String {
    let kind = record.get("kind").and_then(Value::as_str).unwrap_or_default();
    let mut at = Some(record);
    for part in path(kind, key).split('.') {
        at = at.and_then(|value| match part.parse::<usize>() {
            Ok(index) => value.get(index),
            Err(_) => value.get(part),
        });
    }
    match at {
        None => "absent".into(),
        Some(value) if key == "flags" => {
            value.as_array().map(|all| all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")).unwrap_or_default()
        }
        Some(Value::String(text)) => String::from_utf8_lossy(&super::show::without_ids(text.as_bytes())).into_owned(),
        Some(other) => other.to_string(),
    }
}

/// `address/state/stage/by`, and the code of the reply to RCPT TO where that refused it.
fn recipients(record: &Value) -> Vec<String> {
    let all = record.pointer("/envelope/recipients").and_then(Value::as_array);
    let one = |recipient: &Value| {
        let word = |key: &str| recipient.get(key).and_then(Value::as_str).unwrap_or("absent").to_owned();
        let code = recipient.pointer("/reply/code").and_then(Value::as_u64).filter(|code| *code >= 400);
        let code = code.map(|code| format!("/{code}")).unwrap_or_default();
        format!("{}/{}/{}/{}{code}", word("address"), word("state"), word("stage"), word("by"))
    };
    all.map(|all| all.iter().map(one).collect()).unwrap_or_default()
}

/// A line for a record as it came: what a new script begins with.
pub fn line_of(record: &Record) -> String {
    let made = public(record);
    let keys: &[&str] = match record.kind().word() {
        "transaction" => &["state", "stage", "by", "code", "queue", "from", "message_id", "flags", "detail"],
        "session" => &["by", "stage", "how", "code", "flags", "detail"],
        _ => &[],
    };
    let mut line = format!("= {}", record.kind());
    for key in keys {
        let found = value(&made, key);
        if found != "absent" && (*key != "flags" || !found.is_empty()) {
            line += &format!(" {key}={}", quoted(&found));
        }
    }
    for recipient in recipients(&made) {
        line += &format!(" to={}", quoted(&recipient));
    }
    line
}

/// The reverse of [`words`] for one word.
fn quoted(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
    let shown = String::from_utf8_lossy(&super::show::without_ids(escaped.as_bytes())).into_owned();
    if shown.contains(' ') || shown.is_empty() { format!("\"{shown}\"") } else { shown }
}
