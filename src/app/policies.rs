//! MTA-STS policies kept over restarts: what a domain published once holds for its age, whatever becomes of DNS meanwhile (RFC 8461 §5.1).

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::task::JoinHandle;

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

/// Takes over what is known where an upstream goes on under a changed configuration.
pub(super) fn carry_over(before: &Policies, after: &Policies) {
    let now = SystemTime::now();
    for (upstream, known) in before {
        let Some(taken) = after.get(upstream).map(|after| after.import(&known.export(now), now)) else { continue };
        if let Err(error) = taken {
            tracing::warn!(upstream, %error, "known MTA-STS policies can't be taken over: they are fetched again");
        }
    }
}

/// Has what is known written, on a thread where a disk that stands still holds up nothing else.
pub(super) fn save(policies: Policies, store: PathBuf) -> JoinHandle<()> {
    tokio::task::spawn_blocking(move || write(&policies, &store))
}

fn write(policies: &Policies, store: &Path) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::mta_sts::Options;
    use crate::net::resolve::Resolver;
    use crate::net::tls::ClientTls;

    fn upstreams(names: &[&str]) -> Policies {
        let made = || {
            let tls = ClientTls::new(None).unwrap();
            Arc::new(MtaSts::new(Resolver::from_server(([127, 0, 0, 1], 53).into()), tls, Options::default()))
        };
        names.iter().map(|name| ((*name).to_owned(), made())).collect()
    }

    fn known(policies: &Policies, upstream: &str) -> bool {
        policies[upstream].export(SystemTime::now()).contains("a.example")
    }

    fn with_a_policy() -> Policies {
        let fetched_at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let line = serde_json::json!({"domain": "a.example", "fetched_at": fetched_at, "id": "1", "mode": "enforce", "max_age": 86_400,
            "mx": ["mx.a.example"]});
        let before = upstreams(&["stays", "goes"]);
        for policies in before.values() {
            policies.import(&serde_json::json!({"v": 1, "policies": [line]}).to_string(), SystemTime::now()).unwrap();
        }
        before
    }

    #[test]
    fn an_upstream_that_stays_knows_its_policies_without_the_disk() {
        let (before, after) = (with_a_policy(), upstreams(&["stays", "comes"]));
        carry_over(&before, &after);
        assert!(known(&after, "stays") && !known(&after, "comes"));
    }

    #[tokio::test]
    async fn what_is_saved_is_loaded_by_the_next_process() {
        let store = tempfile::tempdir().unwrap();
        save(with_a_policy(), store.path().to_owned()).await.unwrap();
        let after = upstreams(&["stays", "comes"]);
        load(&after, store.path());
        assert!(known(&after, "stays") && !known(&after, "comes"));
    }
}
