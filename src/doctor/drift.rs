//! What is otherwise in one configuration than in another. Pure: both are texts without secrets.

use std::collections::BTreeMap;

use toml::Value;

/// Changes that are told one by one.
const MOST: usize = 20;
/// Characters of a value that are shown.
const VALUE_SHOWN: usize = 80;

/// [`all_changes`], or as many as can be read.
pub fn changes(before: &str, after: &str) -> Option<Vec<String>> {
    let mut found = all_changes(before, after)?;
    if found.len() > MOST {
        let more = found.len() - MOST;
        found.truncate(MOST);
        found.push(format!("and {more} more"));
    }
    Some(found)
}

/// Each option that differs, as "upstream.main.tls: \"required\" -> \"opportunistic\"". `None` if one of them can't be read.
pub fn all_changes(before: &str, after: &str) -> Option<Vec<String>> {
    let (before, after) = (options(before)?, options(after)?);
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let shown = |value: Option<&String>| value.map_or_else(|| "(not set)".to_owned(), |value| short(value));
    let found = names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| format!("{name}: {} -> {}", shown(before.get(name)), shown(after.get(name))));
    Some(found.collect())
}

fn options(text: &str) -> Option<BTreeMap<String, String>> {
    let table: toml::Table = toml::from_str(text).ok()?;
    let mut found = BTreeMap::new();
    flatten(&Value::Table(table), "", &mut found);
    Some(found)
}

/// Tables in a list go by their name, so that one that was put in between doesn't look like a change of all behind it.
fn flatten(value: &Value, path: &str, found: &mut BTreeMap<String, String>) {
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Table(table) => table.iter().for_each(|(key, value)| flatten(value, &join(key), found)),
        Value::Array(items) if items.first().is_some_and(Value::is_table) => {
            for (number, item) in items.iter().enumerate() {
                let name = item.get("name").and_then(Value::as_str).map_or_else(|| number.to_string(), str::to_owned);
                flatten(item, &join(&name), found);
            }
        }
        other => drop(found.insert(path.to_owned(), other.to_string())),
    }
}

fn short(value: &str) -> String {
    match value.char_indices().nth(VALUE_SHOWN) {
        Some((end, _)) => format!("{}…", value.get(..end).unwrap_or_default()),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_by_option() {
        let before = "workers = 1\n[[upstream]]\nname = \"main\"\ntls = \"required\"\nhosts = [\"a.example:587\"]\n";
        let after =
            "workers = 1\n[[upstream]]\nname = \"new\"\n[[upstream]]\nname = \"main\"\ntls = \"off\"\nhosts = [\"a.example:587\"]\n";
        let expected = ["upstream.main.tls: \"required\" -> \"off\"", "upstream.new.name: (not set) -> \"new\""];
        assert_eq!(changes(before, after).unwrap(), expected);
        assert_eq!(changes(before, before), Some(Vec::new()));
        assert_eq!(changes(before, "= nonsense"), None);
    }

    #[test]
    fn a_crowd_of_changes_is_cut_and_counted() {
        let after: String = (0..30).map(|number| format!("option_{number} = \"{}\"\n", "x".repeat(200))).collect();
        let found = changes("", &after).unwrap();
        assert_eq!((found.len(), found.last().map(String::as_str)), (MOST + 1, Some("and 10 more")));
        assert!(found.iter().all(|it| it.chars().count() < 130));
    }
}
