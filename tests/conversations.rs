//! Every conversation in `tests/conversations/`, replayed through the relay engine: as written, octet by octet, cut everywhere.
//!
//! `CONVERSATION=p20 cargo test --test conversations` runs those whose name contains `p20`. A new script may hold only what goes in:
//! `WRITE_CONVERSATIONS=1` writes what comes out beside it, to be read and judged before it is kept.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test that fails says where")]

#[path = "support/conversation/mod.rs"]
mod conversation;

use std::path::{Path, PathBuf};

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conversations");
    let only = std::env::var("CONVERSATION").unwrap_or_default();
    let entries = std::fs::read_dir(&folder).expect("tests/conversations is there");
    let mut paths: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        path.extension().is_some_and(|it| it == "smtp") && name.contains(&only)
    });
    paths.sort();
    paths
}

#[test]
fn every_conversation_holds_however_tcp_cuts_it() {
    let scripts = scripts();
    assert!(!scripts.is_empty(), "no script to run");
    let failures: Vec<String> = scripts.iter().filter_map(|path| conversation::replay::run(path).err()).collect();
    assert!(failures.is_empty(), "{} of {} conversations fail\n\n{}", failures.len(), scripts.len(), failures.join("\n\n"));
}
