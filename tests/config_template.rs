//! `config/relayscope.toml` names every option there is, none that isn't, and the true default of each.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says where")]

use std::collections::BTreeMap;
use std::path::Path;

use relayscope::config::{self, Overrides, TEMPLATE};
use serde_json::Value;

/// Options without a default of their own, which the file shows with an example.
const EXAMPLES: [&str; 47] = [
    "log.filter",
    "upstream.mark",
    "listener.ehlo",
    "route",
    "route.name",
    "route.upstream",
    "route.larger_than",
    "node",
    "host_name",
    "listener.upstream",
    "listener.certificate",
    "listener.key",
    "upstream.hosts",
    "upstream.tls",
    "upstream.ca_file",
    "upstream.auth.mechanism",
    "upstream.auth.user",
    "upstream.auth.password_file",
    "upstream.auth.password_env",
    "upstream.auth",
    "upstream",
    "diagnose.rules_dir",
    "doctor.helo",
    "export",
    "export.url",
    "export.path",
    "export.format",
    "export.include",
    "export.exclude",
    "export.max_event",
    "export.batch_size",
    "export.linger",
    "export.ca_file",
    "export.certificate",
    "export.key",
    "export.user",
    "export.secret_file",
    "export.secret_env",
    "export.secret_header",
    "export.partition",
    "export.index",
    "anomaly.quota",
    "anomaly.quota.upstream",
    "anomaly.quota.user",
    "anomaly.notify.webhook",
    "anomaly.notify.webhook_secret_file",
    "anomaly.notify.webhook_ca_file",
];

#[test]
fn every_option_is_in_the_file_and_no_other() {
    let in_file: Vec<String> = options_of_file().into_keys().collect();
    let in_schema: Vec<String> = options_of_schema().into_keys().collect();
    assert_eq!(in_file, in_schema);
}

#[test]
fn the_defaults_in_the_file_are_the_true_ones() {
    let in_schema = options_of_schema();
    for (path, written) in options_of_file() {
        if !EXAMPLES.contains(&path.as_str()) {
            assert_eq!(in_schema.get(&path), Some(&Some(written)), "{path}");
        }
    }
}

#[test]
fn as_shipped_it_changes_nothing() {
    let smart_host = Overrides { smart_host: Some("smtp.example.net:587".to_owned()), ..Overrides::default() };
    let path = Path::new("relayscope.toml");
    let shipped = config::load_text(path, TEMPLATE, &smart_host).unwrap();
    let empty = config::load_text(path, "", &smart_host).unwrap();
    assert_eq!(shipped.digest, empty.digest);
    assert_eq!(shipped.warnings, []);
    let error = config::load_text(path, TEMPLATE, &Overrides::default()).unwrap_err();
    assert!(error.to_string().starts_with("relayscope.toml: no smart host to relay to: give one with --smart-host"), "{error}");
}

#[test]
fn with_every_option_in_use_only_the_files_it_names_are_missing() {
    let text = uncommented().replace("/etc/", "/nonexistent/").replace("ehlo = \"upstream\"", "ehlo = \"static\"");
    let error = config::load_text(Path::new("relayscope.toml"), &text, &Overrides::default()).unwrap_err();
    let mut texts: Vec<&str> = error.problems.iter().map(|problem| problem.text.as_str()).collect();
    texts.sort_unstable();
    assert_eq!(
        texts,
        [
            "/nonexistent/relayscope/rules: no such folder",
            "export \"siem\": ca_file: /nonexistent/relayscope/siem-ca.pem: no such file",
            "export \"siem\": index is not for kind = \"syslog\": remove it",
            "export \"siem\": partition is not for kind = \"syslog\": remove it",
            "export \"siem\": path is not for kind = \"syslog\": remove it",
            "export \"siem\": secret_env is not for kind = \"syslog\": remove it",
            "export \"siem\": secret_file is not for kind = \"syslog\": remove it",
            "export \"siem\": secret_header is not for kind = \"syslog\": remove it",
            "export \"siem\": user is not for kind = \"syslog\": remove it",
            "listener \"smtp\": /nonexistent/relayscope/server.crt: no such file",
            "upstream \"main\" auth: password_file and password_env are both set: remove one",
            "upstream \"main\": ca_file: /nonexistent/relayscope/smart-host-ca.pem: no such file",
            "webhook_ca_file: ca_file: /nonexistent/relayscope/ca.pem: no such file",
            "webhook_secret_file: /nonexistent/relayscope/webhook.secret does not exist",
        ]
    );
}

/// The file with the `#` removed that stand before options and tables; before prose there is a blank behind them.
fn uncommented() -> String {
    let is_option = |line: &str| {
        line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    };
    let line = |line: &str| line.strip_prefix('#').filter(|rest| is_option(rest)).map_or_else(|| line.to_owned(), str::to_owned);
    TEMPLATE.lines().map(|text| line(text) + "\n").collect()
}

fn options_of_file() -> BTreeMap<String, Value> {
    let table: toml::Table = toml::from_str(&uncommented()).unwrap();
    let mut options = BTreeMap::new();
    flatten(&serde_json::to_value(table).unwrap(), "", &mut options);
    options
}

fn flatten(value: &Value, path: &str, options: &mut BTreeMap<String, Value>) {
    let one = match value {
        Value::Array(items) if items.first().is_some_and(Value::is_object) => &items[0],
        value => value,
    };
    match one {
        Value::Object(table) => table.iter().for_each(|(key, value)| flatten(value, &join(path, key), options)),
        value => drop(options.insert(path.to_owned(), value.clone())),
    }
}

/// Each option with its default, if it has one.
fn options_of_schema() -> BTreeMap<String, Option<Value>> {
    let mut options = BTreeMap::new();
    collect(&config::schema(), "", &mut options);
    options
}

fn collect(schema: &Value, path: &str, options: &mut BTreeMap<String, Option<Value>>) {
    let schema = schema["anyOf"].as_array().and_then(|any| any.iter().find(|one| one["type"] != "null")).unwrap_or(schema);
    let table = if schema["items"]["properties"].is_object() { &schema["items"] } else { schema };
    match table["properties"].as_object() {
        Some(properties) => properties.iter().for_each(|(key, option)| collect(option, &join(path, key), options)),
        None => drop(options.insert(path.to_owned(), schema.get("default").cloned())),
    }
}

fn join(outer: &str, key: &str) -> String {
    if outer.is_empty() { key.to_owned() } else { format!("{outer}.{key}") }
}
