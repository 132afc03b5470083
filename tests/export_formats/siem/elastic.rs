//! Elastic: the index template has a mapping for every field that is sent, and for no other; the dashboard asks for fields that exist.

use std::collections::BTreeMap;

use relayscope::export::format::Format;
use serde_json::Value;

use super::super::parsers::leaves;
use super::{events, json, names, read};

/// Dotted name → type.
fn mapped(properties: &Value, before: &str, out: &mut BTreeMap<String, String>) {
    for (name, field) in properties.as_object().unwrap() {
        let name = format!("{before}{name}");
        match field.get("properties") {
            Some(properties) => mapped(properties, &format!("{name}."), out),
            None => drop(out.insert(name, field["type"].as_str().unwrap().to_owned())),
        }
    }
}

fn mapping() -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    mapped(&json("elastic/index-template.json")["template"]["mappings"]["properties"], "", &mut out);
    out
}

/// What the pipeline and the data stream add.
fn is_added(name: &str) -> bool {
    name.contains(".geo.") || name.starts_with("data_stream.") || ["event.ingested", "error.message"].contains(&name)
}

#[test]
fn the_mapping_is_that_of_the_events() {
    let (mapping, sent) = (mapping(), names(Format::Ecs));
    let unmapped: Vec<_> = sent.iter().filter(|name| !mapping.contains_key(*name)).collect();
    assert!(unmapped.is_empty(), "sent, but not in the index template: {unmapped:?}");
    let idle: Vec<_> = mapping.keys().filter(|name| !sent.contains(*name) && !is_added(name)).collect();
    assert!(idle.is_empty(), "in the index template, but never sent: {idle:?}");
}

#[test]
fn values_are_of_the_mapped_types() {
    let mapping = mapping();
    for (name, event) in events(Format::Ecs) {
        let event: Value = serde_json::from_str(&event).unwrap();
        let mut found = Vec::new();
        leaves(&event, "", &mut found);
        for (field, value) in found {
            let fits = match mapping[&field].as_str() {
                "long" => value.is_i64(),
                "integer" => value.as_i64().is_some_and(|it| i32::try_from(it).is_ok()),
                "boolean" => value.is_boolean(),
                "date" => value.as_str().is_some_and(|it| it.parse::<jiff::Timestamp>().is_ok()),
                "ip" => value.as_str().is_some_and(|it| it.parse::<std::net::IpAddr>().is_ok()),
                _ => value.is_string(),
            };
            assert!(fits, "{name}: {field} is mapped as {} and is {value}", mapping[&field]);
        }
    }
}

#[test]
fn every_smtp_field_is_documented() {
    let text = read("smtp-fields.md");
    for field in mapping().keys().filter(|name| name.starts_with("smtp.")) {
        assert!(text.contains(&format!("| `{field}` |")), "{field} isn't in deploy/siem/smtp-fields.md");
    }
    for line in text.lines().filter(|line| line.starts_with("| `smtp.")) {
        let field = line.split('`').nth(1).unwrap();
        let known = mapping().keys().any(|name| name == field || name.starts_with(&format!("{field}.")));
        assert!(known, "deploy/siem/smtp-fields.md has {field}, and no event");
    }
}

#[test]
fn the_dashboard_asks_for_fields_that_exist() {
    let mapping = mapping();
    let objects: Vec<Value> = read("elastic/dashboard.ndjson").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let known = |field: &str| mapping.contains_key(field) || field == "_key";
    for object in &objects {
        let (id, attributes) = (&object["id"], &object["attributes"]);
        if let Some(state) = attributes["visState"].as_str() {
            let state: Value = serde_json::from_str(state).unwrap();
            for field in state["aggs"].as_array().unwrap().iter().filter_map(|it| it["params"]["field"].as_str()) {
                assert!(known(field), "{id}: {field}");
                assert_ne!(mapping[field], "match_only_text", "{id}: {field} can't be counted by");
            }
        }
        for column in attributes["columns"].as_array().into_iter().flatten() {
            assert!(known(column.as_str().unwrap()), "{id}: {column}");
        }
        if let Some(search) = attributes["kibanaSavedObjectMeta"]["searchSourceJSON"].as_str() {
            let search: Value = serde_json::from_str(search).unwrap();
            let query = search["query"]["query"].as_str().unwrap();
            for field in query.split_whitespace().filter(|word| word.contains('.') && !word.contains('"')) {
                assert!(known(field), "{id}: {field} of {query}");
            }
        }
        for reference in object["references"].as_array().unwrap() {
            assert!(objects.iter().any(|it| it["id"] == reference["id"] && it["type"] == reference["type"]), "{id} refers to {reference}");
        }
    }
    let dashboard = objects.iter().find(|it| it["type"] == "dashboard").unwrap();
    let panels: Vec<Value> = serde_json::from_str(dashboard["attributes"]["panelsJSON"].as_str().unwrap()).unwrap();
    for panel in &panels {
        let name = format!("{}:{}", panel["panelIndex"].as_str().unwrap(), panel["panelRefName"].as_str().unwrap());
        assert!(dashboard["references"].as_array().unwrap().iter().any(|it| it["name"] == name.as_str()), "{name}");
    }
}

#[test]
fn the_pipeline_is_the_one_that_the_template_names() {
    let template = json("elastic/index-template.json");
    assert_eq!(template["template"]["settings"]["index"]["default_pipeline"], "relayscope");
    assert!(json("elastic/ingest-pipeline.json")["processors"].as_array().unwrap().len() > 1);
    assert!(read("elastic/README.md").contains("_ingest/pipeline/relayscope\""));
}
