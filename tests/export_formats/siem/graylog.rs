//! Graylog: what the content pack asks for is sent.

use std::collections::BTreeSet;

use relayscope::export::format::flat;
use serde_json::Value;

use super::{json, msgids};

/// Every text at a key, wherever it stands.
fn at_key<'v>(value: &'v Value, key: &str, out: &mut Vec<&'v Value>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                if name == key {
                    out.push(value);
                }
                at_key(value, key, out);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| at_key(item, key, out)),
        _ => {}
    }
}

fn texts<'v>(value: &'v Value, key: &str) -> Vec<&'v str> {
    let mut found = Vec::new();
    at_key(value, key, &mut found);
    let mut out = Vec::new();
    for value in found {
        match value {
            Value::String(text) => out.push(text.as_str()),
            Value::Object(typed) => out.extend(typed.get("@value").and_then(Value::as_str)),
            Value::Array(items) => out.extend(items.iter().filter_map(|item| item.as_str().or(item.get("@value").and_then(Value::as_str)))),
            _ => {}
        }
    }
    out
}

#[test]
fn fields_and_events_of_the_content_pack_exist() {
    let pack = json("graylog/content-pack.json");
    let sent: BTreeSet<&str> = flat::ALL.iter().filter_map(|(_, field)| field.gelf).collect();
    let known = |name: &str| sent.contains(name) || ["timestamp", "message", "source", "level"].contains(&name);
    for key in ["fields", "group_by"] {
        for name in texts(&pack, key) {
            assert!(known(name), "{key}: {name}");
        }
    }
    for name in texts(&pack, "field").into_iter().filter(|name| !name.is_empty() && !name.contains('(')) {
        assert!(known(name), "field: {name}");
    }
    let msgids = msgids();
    let queries: Vec<&str> = [texts(&pack, "query_string"), texts(&pack, "query")].concat();
    assert!(queries.len() > 10);
    for query in queries {
        for word in query.split_whitespace().filter(|word| word.contains(':')) {
            let (name, value) = word.split_once(':').unwrap();
            assert!(known(name), "{query}");
            assert!(name != "event_action" || msgids.contains(value), "{query}: no event is called {value}");
        }
    }
}

#[test]
fn the_parts_of_the_content_pack_fit_together() {
    let pack = json("graylog/content-pack.json");
    let entities = pack["entities"].as_array().unwrap();
    let of = |kind: &str| entities.iter().filter(|it| it["type"]["name"] == kind).collect::<Vec<_>>();
    let stream = of("stream")[0]["id"].as_str().unwrap();
    assert!(texts(&pack, "streams").iter().all(|it| *it == stream));
    let parameters: Vec<_> = pack["parameters"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    for value in of("input")[0]["data"]["configuration"].as_object().unwrap().values().filter(|it| it["@type"] == "parameter") {
        assert!(parameters.contains(&value["@value"].as_str().unwrap()), "{value}");
    }
    let dashboard = &of("dashboard")[0]["data"];
    let query = &dashboard["search"]["queries"][0];
    let state = &dashboard["state"][query["id"].as_str().unwrap()];
    for widget in state["widgets"].as_array().unwrap() {
        let id = widget["id"].as_str().unwrap();
        let search = &state["widget_mapping"][id][0];
        assert!(query["search_types"].as_array().unwrap().iter().any(|it| it["id"] == *search), "{id}");
        assert!(state["positions"][id].is_object() && state["titles"]["widget"][id].is_string(), "{id}");
    }
}
