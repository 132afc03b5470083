//! MTA-STS policies kept over restarts: what a domain published once holds for its age, whatever becomes of DNS meanwhile (RFC 8461 §5.1).

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::net::mta_sts::MtaSts;
use crate::replace::{ANYBODY, Outlives, replace};

/// How often they are written.
pub(super) const EVERY: Duration = Duration::from_secs(600);

/// By upstream: each trusts authorities of its own.
pub(super) type Policies = HashMap<String, Arc<MtaSts>>;

fn file(store: &Path) -> PathBuf {
    store.join("mta-sts.json")
}

/// Takes over what an earlier process knew. What can't be read is fetched again, domain by domain, and said.
pub(super) fn load(policies: &Policies, store: &Path) {
    if policies.is_empty() {
        return;
    }
    let path = file(store);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => return tracing::warn!(file = %path.display(), %error, "known MTA-STS policies can't be read"),
    };
    let exports: BTreeMap<String, Value> = match serde_json::from_str(&text) {
        Ok(exports) => exports,
        Err(error) => return tracing::warn!(file = %path.display(), %error, "known MTA-STS policies can't be read"),
    };
    for (upstream, export) in &exports {
        let Some(known) = policies.get(upstream) else { continue };
        match known.import(&export.to_string(), SystemTime::now()) {
            Ok(count) => tracing::debug!(upstream, count, "MTA-STS policies known from before"),
            Err(error) => tracing::warn!(file = %path.display(), upstream, %error, "known MTA-STS policies can't be read"),
        }
    }
}

/// Writes what is known.
pub(super) fn save(policies: &Policies, store: &Path) {
    if policies.is_empty() {
        return;
    }
    let now = SystemTime::now();
    let export = |known: &Arc<MtaSts>| serde_json::from_str(&known.export(now)).unwrap_or(Value::Null);
    let exports: BTreeMap<&String, Value> = policies.iter().map(|(upstream, known)| (upstream, export(known))).collect();
    let path = file(store);
    let written = serde_json::to_vec(&exports).map_err(io::Error::from).and_then(|text| replace(&path, &text, ANYBODY, Outlives::Process));
    if let Err(error) = written {
        tracing::warn!(file = %path.display(), %error, "known MTA-STS policies can't be written: a restart forgets them");
    }
}
