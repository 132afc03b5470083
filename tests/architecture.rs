//! The house's floors: which module may import which. Also what every file owes its reader: a first line, and an end.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test that fails says where")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Each module and what it may import. A module stands above all that it imports; nothing is imported sideways.
const MAP: &[(&str, &[&str])] = &[
    // below all: how closed vocabularies are declared, how numbers and times are written, how a file is replaced
    ("vocabulary", &[]),
    ("wording", &[]),
    ("replace", &[]),
    // 1: pure, no I/O, no clock
    ("smtp", &["vocabulary"]),
    ("message", &["vocabulary"]),
    // 2
    ("net", &["replace", "smtp", "message"]),
    // pure as well
    ("route", &["smtp", "message"]),
    // 3
    ("diagnose", &["vocabulary", "smtp", "message"]),
    // 4
    ("trace", &["vocabulary", "smtp", "message", "diagnose"]),
    // 5: `relay` is pure as well
    ("relay", &["smtp", "message", "route", "diagnose", "trace"]),
    ("store", &["replace", "smtp", "message", "diagnose", "trace"]),
    // 6
    ("proxy", &["vocabulary", "smtp", "message", "net", "route", "diagnose", "trace", "relay", "store"]),
    ("path", &["wording", "vocabulary", "smtp", "message", "diagnose", "trace", "store"]),
    ("import", &["replace", "wording", "vocabulary", "smtp", "message", "diagnose", "trace", "store"]),
    ("anomaly", &["wording", "vocabulary", "smtp", "message", "diagnose", "trace"]),
    ("export", &["replace", "vocabulary", "smtp", "message", "net", "diagnose", "trace", "store"]),
    ("doctor", &["replace", "wording", "smtp", "message", "net", "route", "diagnose", "trace", "relay", "store", "export"]),
    // 7
    ("metrics", &["net", "proxy", "store", "export", "trace"]),
    // 8
    ("config", &["smtp", "message", "net", "route", "diagnose", "trace", "relay", "store", "proxy", "path", "anomaly", "doctor", "export"]),
    (
        "http",
        &[
            "replace", "wording", "smtp", "message", "net", "diagnose", "trace", "store", "import", "path", "anomaly", "doctor", "export",
            "metrics",
        ],
    ),
    // 9
    (
        "app",
        &[
            "replace", "wording", "smtp", "message", "net", "route", "diagnose", "trace", "relay", "store", "proxy", "import", "path",
            "anomaly", "doctor", "export", "metrics", "config", "http",
        ],
    ),
    // 10
    (
        "cli",
        &[
            "wording", "smtp", "message", "net", "route", "diagnose", "trace", "relay", "store", "proxy", "import", "path", "anomaly",
            "doctor", "export", "metrics", "config", "http", "app",
        ],
    ),
    ("main", &["cli"]),
    ("lib", &[]),
];

/// Modules that decide without sockets, files, clocks, logs or tasks: octets and times are their arguments.
const PURE: &[&str] = &["wording", "smtp", "message", "route", "diagnose", "trace", "relay", "anomaly"];

/// What a pure module has no business with.
const IMPURE: &[&str] = &[
    "tokio::",
    "std::fs",
    "std::io",
    "std::net::Tcp",
    "std::net::Udp",
    "Instant::now",
    "SystemTime::now",
    "tracing::",
    "sled::",
    "std::thread",
];

/// Files longer than [`MOST_LINES`], and why they may be.
const LONG: &[(&str, &str)] = &[
    ("tests/stories/mod.rs", "one table of stories that several tests tell"),
    ("tests/support/conversation/script.rs", "the one place that says what a script can hold, word by word"),
];

const MOST_LINES: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder, as a path from the project's root.
fn rust_files(folder: &str) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if path.is_dir() && name != "target" && name != "corpus" && name != "artifacts" {
                folders.push(path);
            } else if name.ends_with(".rs") {
                files.push(path.strip_prefix(root()).expect("below the root").to_owned());
            }
        }
    }
    files.sort();
    files
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The module of `src/` that a file belongs to.
fn module_of(path: &Path) -> String {
    let first = path.strip_prefix("src").expect("a source file").iter().next().expect("a name");
    first.to_str().expect("a plain name").trim_end_matches(".rs").to_owned()
}

/// A file's text without its comments; the lines keep their numbers.
fn code(path: &Path) -> String {
    read(path).lines().map(|line| format!("{}\n", line.split("//").next().unwrap_or_default())).collect()
}

/// The modules named with `crate::` or `relayscope::`, each with its line.
fn imports(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for start in ["crate::", "relayscope::"] {
        for (at, _) in code.match_indices(start) {
            let number = code[..at].lines().count().max(1);
            let rest = &code[at + start.len()..];
            let (several, names) = match rest.strip_prefix('{') {
                Some(inner) => (usize::MAX, inner.split(';').next().unwrap_or_default()),
                None => (1, rest),
            };
            let end = |it: &str| it.find(|it: char| !it.is_ascii_alphanumeric() && it != '_').unwrap_or(it.len());
            let starts = names.split([',', '}']).take(several).map(str::trim_start);
            found.extend(starts.map(|it| (number, &it[..end(it)])));
        }
    }
    found
}

#[test]
fn imports_go_downwards_only() {
    let map: BTreeMap<_, _> = MAP.iter().copied().collect();
    let mut wrong = Vec::new();
    for path in rust_files("src") {
        let module = module_of(&path);
        let Some(allowed) = map.get(module.as_str()) else { continue };
        for (number, import) in imports(&code(&path)) {
            if map.contains_key(import) && import != module && !allowed.contains(&import) {
                wrong.push(format!("{}:{number}: {module} may not import {import}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "the floors are in tests/architecture.rs\n{}", wrong.join("\n"));
}

#[test]
fn the_map_has_no_way_back() {
    let mut below = BTreeSet::from(["lib"]);
    for (module, imports) in MAP {
        for import in *imports {
            assert!(below.contains(import), "{module} imports {import}, which doesn't stand below it in the map");
        }
        below.insert(module);
    }
}

#[test]
fn every_module_is_in_the_map() {
    let known: BTreeSet<_> = MAP.iter().map(|(module, _)| (*module).to_owned()).collect();
    let there: BTreeSet<_> = rust_files("src").iter().map(|path| module_of(path)).collect();
    assert_eq!(there, known, "modules of src/ (left) and of the map (right)");
}

#[test]
fn only_app_and_cli_know_the_configuration() {
    for (module, imports) in MAP {
        assert!(!imports.contains(&"config") || ["app", "cli"].contains(module), "{module} may not import config");
    }
}

#[test]
fn pure_modules_touch_no_socket_file_clock_or_log() {
    let mut wrong = Vec::new();
    for path in rust_files("src").iter().filter(|path| PURE.contains(&module_of(path).as_str())) {
        let is_test = path.file_name().is_some_and(|name| name == "tests.rs");
        let code = code(path);
        let code = code.lines().take_while(|line| !is_test && !line.starts_with("#[cfg(test)]"));
        for (number, line) in code.enumerate().map(|(at, line)| (at + 1, line)) {
            if let Some(found) = IMPURE.iter().find(|it| line.contains(**it)) {
                wrong.push(format!("{}:{number}: {found}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} take octets and times as arguments\n{}", PURE.join(", "), wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_does_and_does_one_thing() {
    let mut wrong = Vec::new();
    for path in ["src", "tests", "benches"].into_iter().flat_map(rust_files) {
        let (text, name) = (read(&path), path.display().to_string());
        if !text.starts_with("//! ") {
            wrong.push(format!("{name}: the first line is not `//! ` and what the file does"));
        }
        let lines = text.lines().count();
        let may_be_long = LONG.iter().any(|(long, _)| *long == name);
        if lines > MOST_LINES && !may_be_long {
            wrong.push(format!("{name}: {lines} lines are two files (or an exception with its reason, in tests/architecture.rs)"));
        }
        if lines <= MOST_LINES && may_be_long {
            wrong.push(format!("{name}: no longer too long; take it out of the exceptions"));
        }
    }
    for (long, _) in LONG {
        assert!(root().join(long).exists(), "{long} is an exception and doesn't exist");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
