//! Shows the effective configuration as a file, with where each value comes from. Holds no secret: they are never in it.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::export::Kind;
use super::problem::Places;
use super::raw::Raw;

/// The column at which origins stand, where values are short enough.
const ORIGIN_COLUMN: usize = 44;

/// The effective configuration in TOML, one line an option, in the order of the template.
pub(super) fn canonical(effective: &Raw) -> String {
    toml::to_string(&without_tokens(effective)).unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
}

/// Collectors take tokens in the query of their URL, and those of `kind = "http"`, and of GELF over it, are known by
/// their path alone, as webhooks are.
fn without_tokens(effective: &Raw) -> Raw {
    let mut shown = effective.clone();
    for export in &mut shown.export {
        let Some(url) = export.url.as_mut() else { continue };
        if export.kind == Kind::Http || (export.kind == Kind::Gelf && url.starts_with("http")) {
            *url = without_path(url);
        } else if let Some((open, query)) = url.split_once('?') {
            *url = format!("{open}?{}", hidden(query));
        }
    }
    if let Some(url) = &mut shown.anomaly.notify.webhook {
        *url = without_path(url);
    }
    shown
}

/// What stands behind the host is hidden, if there is more than the root.
fn without_path(url: &str) -> String {
    let parts = url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.find(['/', '?']).map(|at| rest.split_at(at))?)));
    match parts {
        Some((scheme, (host, path))) if path.len() > 1 => format!("{scheme}://{host}/{}", hidden(path)),
        _ => url.to_owned(),
    }
}

/// Stands for a secret in a URL: whether it changed is seen, what it is isn't.
fn hidden(secret: &str) -> String {
    format!("redacted-{}", blake3::hash(secret.as_bytes()).to_hex().chars().take(8).collect::<String>())
}

/// First 16 hex digits of the BLAKE3 of what is effective.
pub(super) fn digest(effective: &Raw) -> String {
    blake3::hash(canonical(effective).as_bytes()).to_hex().chars().take(16).collect()
}

pub(super) fn render(effective: &Raw, places: &Places) -> String {
    let mut out = String::new();
    let mut table = String::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for line in canonical(effective).lines() {
        if let Some(header) = line.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]")) {
            let count = seen.entry(header.to_owned()).or_default();
            table = format!("{header}.{count}.");
            *count += 1;
        } else if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = format!("{}.", numbered(header, &seen));
        } else if let Some((key, _)) = line.split_once(" = ") {
            let _ = writeln!(out, "{line:<ORIGIN_COLUMN$}# {}", places.of_value(&format!("{table}{key}")));
            if key.starts_with("password_") {
                out.push_str("# the password it gives: [redacted]\n");
            }
            continue;
        }
        let _ = writeln!(out, "{line}");
    }
    out
}

/// `upstream.auth` belongs to the last `[[upstream]]` before it: `upstream.0.auth`.
fn numbered(header: &str, seen: &BTreeMap<String, usize>) -> String {
    match header.split_once('.') {
        Some((outer, inner)) => match seen.get(outer) {
            Some(count) => format!("{outer}.{}.{inner}", count.saturating_sub(1)),
            None => header.to_owned(),
        },
        None => header.to_owned(),
    }
}
