//! What the command line says instead of the file.

use std::path::PathBuf;

use super::addresses::{HostPort, Listen, ListenOrOff};
use super::problem::{Findings, Location, Problem};
use super::raw::{Raw, Upstream};
use super::written::Written;

/// Flags of `run`, as they were typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--listen ADDRESS:PORT`
    pub listen: Option<String>,
    /// `--smart-host HOST:PORT`
    pub smart_host: Option<String>,
    /// `--store DIR`
    pub store: Option<PathBuf>,
    /// `--http ADDRESS:PORT`, or `off`
    pub http: Option<String>,
}

impl Overrides {
    pub(super) fn apply(&self, raw: &mut Raw, findings: &mut Findings) {
        if let Some(listen) = parse::<Listen>("--listen", self.listen.as_deref(), findings) {
            match raw.listener.as_mut_slice() {
                [listener] => {
                    listener.listen = vec![listen];
                    findings.places.overridden("listener.0.listen", "--listen");
                }
                several => refuse(
                    "--listen",
                    &format!("the file has {} listeners, and this can't say which it is for: change `listen` there", several.len()),
                    findings,
                ),
            }
        }
        if let Some(host) = parse::<HostPort>("--smart-host", self.smart_host.as_deref(), findings) {
            if raw.upstream.is_empty() {
                raw.upstream.push(Upstream::default());
            }
            match raw.upstream.as_mut_slice() {
                [upstream] => {
                    upstream.hosts = vec![host];
                    findings.places.overridden("upstream.0.hosts", "--smart-host");
                }
                several => refuse(
                    "--smart-host",
                    &format!("the file has {} upstreams, and this can't say which it is for: change `hosts` there", several.len()),
                    findings,
                ),
            }
        } else if self.smart_host.is_some() {
            findings.broken("upstream"); // given, if badly
        }
        if let Some(dir) = &self.store {
            raw.store.dir.clone_from(dir);
            findings.places.overridden("store.dir", "--store");
        }
        if let Some(listen) = parse::<ListenOrOff>("--http", self.http.as_deref(), findings) {
            raw.http.listen = listen;
            findings.places.overridden("http.listen", "--http");
        }
    }
}

fn parse<T: Written>(flag: &'static str, typed: Option<&str>, findings: &mut Findings) -> Option<T> {
    match T::parse(typed?) {
        Ok(value) => Some(value),
        Err(why) => {
            refuse(flag, &format!("{:?} {why}", typed.unwrap_or_default()), findings);
            None
        }
    }
}

fn refuse(flag: &'static str, text: &str, findings: &mut Findings) {
    findings.problems.push(Problem { location: Location::Flag(flag), text: text.to_owned() });
}
