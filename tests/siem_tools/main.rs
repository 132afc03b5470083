//! What the makers' own tools say of `deploy/siem/`: Splunk's AppInspect of the app, Microsoft's Kusto language service of Sentinel's queries.
//!
//! Both are fetched by `tests/servers/unpack`. Where they are missing, a line that begins with SKIPPED says so; `tests/run` installs it all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that can't go on should stop where it is

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

#[allow(dead_code, unused_macros, unused_imports, reason = "shared with the end-to-end tests, which use it all")]
#[path = "../support/e2e/programs.rs"]
mod programs;
use programs::skip;

fn tools() -> PathBuf {
    let dir = std::env::var_os("RELAYSCOPE_SERVERS_DIR").map(PathBuf::from);
    dir.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("servers")).join("siem")
}

fn siem() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/siem")
}

/// Whether a tool is there; a word why not, or a failure where peers are required.
fn have(test: &str, file: &str) -> bool {
    if tools().join(file).is_file() {
        return true;
    }
    skip(test, "the makers' tools aren't unpacked: tests/servers/unpack");
    false
}

#[track_caller]
fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = [output.stdout.as_slice(), &output.stderr].map(String::from_utf8_lossy).concat();
    assert!(output.status.success(), "{command:?}\n{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// AppInspect's report of an app, checks by their names.
fn inspected(app: &Path, dir: &Path) -> Vec<(String, String, String)> {
    let (package, report) = (dir.join("app.tgz"), dir.join("report.json"));
    let (parent, name) = (app.parent().unwrap(), app.file_name().unwrap());
    // Splunk wants neither the user's rights nor files that he alone may read.
    done(Command::new("tar").args(["-czf"]).arg(&package).args(["--owner=0", "--group=0", "--mode=go+rX", "-C"]).arg(parent).arg(name));
    let mut inspect = Command::new("python3");
    inspect.env("PYTHONPATH", tools().join("python")).env("PYTHONDONTWRITEBYTECODE", "1").arg(tools().join("python/bin/splunk-appinspect"));
    inspect.arg("inspect").arg(&package).args(["--mode", "precert", "--data-format", "json", "--output-file"]).arg(&report);
    done(&mut inspect);
    let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let groups = report["reports"][0]["groups"].as_array().unwrap();
    let checks = groups.iter().flat_map(|group| group["checks"].as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    checks.map(|check| (text(&check["name"]), text(&check["result"]), check["messages"].to_string())).collect()
}

#[test]
fn splunk_has_nothing_against_the_app() {
    if !have("splunk_has_nothing_against_the_app", "python/bin/splunk-appinspect") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let checks = inspected(&siem().join("splunk/TA-relayscope"), dir.path());
    assert!(checks.iter().filter(|(_, result, _)| result == "success").count() > 50, "{checks:#?}");
    let bad: Vec<_> = checks.iter().filter(|(_, result, _)| ["error", "failure", "warning"].contains(&result.as_str())).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn splunk_is_asked_in_earnest() {
    if !have("splunk_is_asked_in_earnest", "python/bin/splunk-appinspect") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let app = dir.path().join("TA-relayscope");
    done(Command::new("cp").arg("-r").arg(siem().join("splunk/TA-relayscope")).arg(&app));
    let conf = app.join("default/app.conf");
    let set_up = std::fs::read_to_string(&conf).unwrap().replace("is_configured = 0", "is_configured = 1");
    std::fs::write(&conf, set_up).unwrap();
    let checks = inspected(&app, dir.path());
    assert!(checks.iter().any(|(_, result, why)| result == "failure" && why.contains("is_configured")), "{checks:#?}");
}

/// Each query with what the language service has against it.
fn parsed(queries: &[(String, String)]) -> Vec<(String, Vec<String>)> {
    let dir = tempfile::tempdir().unwrap();
    let (list, function) = (dir.path().join("queries.json"), siem().join("sentinel/Relayscope.kql"));
    std::fs::write(&list, serde_json::to_string(queries).unwrap()).unwrap();
    let mut node = Command::new(tools().join("node"));
    node.env("NODE_PATH", tools().join("node_modules"));
    node.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/siem_tools/kql.js")).args([&function, &list]);
    serde_json::from_str(&done(&mut node)).unwrap()
}

/// Every query in a document, by where it stands.
fn queries(document: &Value, path: &str, found: &mut Vec<(String, String)>) {
    match document {
        Value::Object(fields) => {
            for (key, value) in fields {
                let path = format!("{path}.{key}");
                match value.as_str() {
                    // A workbook puts its own choice there.
                    Some(query) if key == "query" => found.push((path, query.replace("{TimeRange}", "1d"))),
                    Some(text) if key == "serializedData" => queries(&serde_json::from_str(text).unwrap(), &path, found),
                    _ => queries(value, &path, found),
                }
            }
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(at, item)| queries(item, &format!("{path}[{at}]"), found)),
        _ => {}
    }
}

#[test]
fn sentinels_queries_are_kusto() {
    if !have("sentinels_queries_are_kusto", "node") {
        return;
    }
    let mut all = vec![("Relayscope.kql".to_owned(), std::fs::read_to_string(siem().join("sentinel/Relayscope.kql")).unwrap())];
    for file in ["workbook.json", "azuredeploy.json"] {
        let text = std::fs::read_to_string(siem().join("sentinel").join(file)).unwrap();
        queries(&serde_json::from_str(&text).unwrap(), file, &mut all);
    }
    assert!(all.len() > 10, "{all:?}");
    for (name, wrong) in parsed(&all) {
        assert_eq!(wrong, Vec::<String>::new(), "{name}");
    }
    // The service is asked in earnest: a column that the function doesn't have, and no query at all.
    let bad = ["Relayscope | where Nope == 1", "Relayscope | sumarise count()"].map(|query| (query.to_owned(), query.to_owned()));
    assert!(parsed(&bad).iter().all(|(_, wrong)| !wrong.is_empty()));
}
