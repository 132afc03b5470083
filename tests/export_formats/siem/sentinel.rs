//! Sentinel: the function's columns come of keys that are sent; rules and workbook use its columns; the template has the same texts.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::Value;

use super::{cef_keys, json, msgids, read};

/// Columns of CommonSecurityLog, and the keys of CEF that Azure Monitor puts into them.
const COLUMNS: &[(&str, &str)] = &[
    ("AdditionalExtensions", ""),
    ("CommunicationDirection", "deviceDirection"),
    ("DestinationHostName", "dhost"),
    ("DestinationIP", "dst"),
    ("DestinationPort", "dpt"),
    ("DestinationServiceName", "destinationServiceName"),
    ("DestinationUserName", "duser"),
    ("DeviceAction", "act"),
    ("DeviceCustomIPv6Address2", "c6a2"),
    ("DeviceCustomIPv6Address3", "c6a3"),
    ("DeviceCustomString1", "cs1"),
    ("DeviceCustomString2", "cs2"),
    ("DeviceCustomString3", "cs3"),
    ("DeviceCustomString4", "cs4"),
    ("DeviceCustomString5", "cs5"),
    ("DeviceCustomString6", "cs6"),
    ("DeviceEventCategory", "cat"),
    ("DeviceFacility", "deviceFacility"),
    ("DeviceName", "dvchost"),
    ("EventOutcome", "outcome"),
    ("ExtID", "externalId"),
    ("FieldDeviceCustomNumber1", "cn1"),
    ("FieldDeviceCustomNumber2", "cn2"),
    ("FieldDeviceCustomNumber3", "cn3"),
    ("Message", "msg"),
    ("Reason", "reason"),
    ("ReceiptTime", "rt"),
    ("SourceHostName", "shost"),
    ("SourceIP", "src"),
    ("SourcePort", "spt"),
    ("SourceUserID", "suid"),
    ("SourceUserName", "suser"),
];

/// Columns that stand in the header or are Azure's own.
const GIVEN: &[&str] =
    &["TimeGenerated", "DeviceVendor", "DeviceProduct", "DeviceEventClassID", "Activity", "LogSeverity", "CommonSecurityLog"];

fn words(query: &str) -> BTreeSet<String> {
    // Without texts and comments: what is left in capitals is a column.
    let query = Regex::new(r#"//[^\n]*|@?"[^"]*""#).unwrap().replace_all(query, "");
    Regex::new(r"\b[A-Z][A-Za-z0-9]+\b").unwrap().find_iter(&query).map(|it| it.as_str().to_owned()).collect()
}

/// What the function gives: names before `=` in its `extend`, and what it projects.
fn projected() -> BTreeSet<String> {
    let function = read("sentinel/Relayscope.kql");
    words(function.split("| project").nth(1).unwrap())
}

#[test]
fn the_function_reads_what_is_sent() {
    let (function, keys) = (read("sentinel/Relayscope.kql"), cef_keys());
    let extend = function.split("| extend").nth(1).unwrap().split("| project").next().unwrap();
    let defined: BTreeSet<String> = Regex::new(r"(?m)^    (\w+) = ").unwrap().captures_iter(extend).map(|it| it[1].to_owned()).collect();
    for column in words(&function).iter().filter(|it| !defined.contains(*it) && !GIVEN.contains(&it.as_str())) {
        let key = COLUMNS.iter().find(|(name, _)| name == column).unwrap_or_else(|| panic!("{column} is no column of CommonSecurityLog")).1;
        assert!(key.is_empty() || keys.contains(key), "{column} comes of {key}, which is never sent");
    }
    let own = Regex::new(r#"own\("(\w+)""#).unwrap();
    for key in own.captures_iter(&function).map(|it| it[1].to_owned()) {
        assert!(keys.contains(key.as_str()), "{key} is never sent");
    }
    for column in projected() {
        assert!(
            defined.contains(&column) || GIVEN.contains(&column.as_str()) || COLUMNS.iter().any(|(name, _)| *name == column),
            "{column}"
        );
    }
}

#[test]
fn rules_and_workbook_use_its_columns_and_real_events() {
    let template = json("sentinel/azuredeploy.json");
    let (projected, msgids) = (projected(), msgids());
    let mut queries: Vec<String> = template["resources"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["kind"] == "Scheduled")
        .map(|it| it["properties"]["query"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(queries.len(), 4);
    let workbook = json("sentinel/workbook.json");
    queries.extend(workbook["items"].as_array().unwrap().iter().filter_map(|it| it["content"]["query"].as_str()).map(str::to_owned));
    let (definition, name) = (Regex::new(r"(\w+) = ").unwrap(), Regex::new(r#""([a-z]+\.[a-z_]+)""#).unwrap());
    for query in &queries {
        let defined: BTreeSet<String> = definition.captures_iter(query).map(|it| it[1].to_owned()).collect();
        for column in words(query) {
            assert!(column == "Relayscope" || projected.contains(&column) || defined.contains(&column), "{column} of {query}");
        }
        for event in name.captures_iter(query) {
            assert!(msgids.contains(&event[1]), "no event is called {}", &event[1]);
        }
    }
    for rule in template["resources"].as_array().unwrap().iter().filter(|it| it["kind"] == "Scheduled") {
        let (properties, query) = (&rule["properties"], rule["properties"]["query"].as_str().unwrap());
        let mappings = properties["entityMappings"].as_array().into_iter().flatten().map(|it| &it["fieldMappings"][0]["columnName"]);
        for column in mappings.chain(properties["customDetails"].as_object().into_iter().flat_map(|it| it.values())) {
            assert!(words(query).contains(column.as_str().unwrap()), "{column} isn't in the result of {query}");
        }
    }
}

#[test]
fn the_template_has_the_same_texts() {
    let template = json("sentinel/azuredeploy.json");
    let of = |kind: &str| template["resources"].as_array().unwrap().iter().find(|it| it["type"].as_str().unwrap().ends_with(kind)).unwrap();
    assert_eq!(of("/savedSearches")["properties"]["query"], read("sentinel/Relayscope.kql"));
    let workbook: Value = serde_json::from_str(of("/workbooks")["properties"]["serializedData"].as_str().unwrap()).unwrap();
    assert_eq!(workbook, json("sentinel/workbook.json"));
}
