//! `[doctor]`: what the doctor can't find out by itself.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::addresses::{Address, is_host};
use super::problem::Findings;
use super::raw::Raw;
use super::units::Interval;
use super::{Loaded, existing, fill, limits, read, shape};
use crate::doctor::options::{self, Options};
use crate::net::resolve::destination;

/// What `relayscope doctor` examines beyond what it is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Doctor {
    /// Public addresses that your mail leaves from.
    pub sending_addresses: Vec<Address>,
    /// The name that your mail server gives itself in EHLO. Default: `host_name`.
    #[schemars(extend("maxLength" = 255))]
    pub helo: Option<String>,
    /// Your mail domains.
    pub domains: Vec<String>,
    /// DKIM selectors that you sign with.
    pub dkim_selectors: Vec<String>,
    /// Zones of blocklists to ask beyond the known ones.
    pub blocklists: Vec<String>,
    /// Blocklists not to be asked, by name or zone.
    pub blocklists_off: Vec<String>,
    /// Each single wait for a server.
    #[schemars(extend("x-duration" = ["500ms", "1m"]))]
    pub timeout: Interval,
}

impl Default for Doctor {
    fn default() -> Self {
        Self {
            sending_addresses: Vec::new(),
            helo: None,
            domains: Vec::new(),
            dkim_selectors: Vec::new(),
            blocklists: Vec::new(),
            blocklists_off: Vec::new(),
            timeout: Interval(options::PATIENCE),
        }
    }
}

/// Refuses what can't be asked about.
pub(super) fn check(raw: &Raw, findings: &mut Findings) {
    let doctor = &raw.doctor;
    let wrong = |names: &[String], is_good: fn(&str) -> bool| -> Vec<(usize, String)> {
        names.iter().cloned().enumerate().filter(|(_, name)| !is_good(name)).collect()
    };
    for (option, wrong) in [
        ("domains", wrong(&doctor.domains, |name| destination(name).is_ok())),
        ("blocklists", wrong(&doctor.blocklists, is_host)),
        ("dkim_selectors", wrong(&doctor.dkim_selectors, is_host)),
    ] {
        for (number, name) in wrong {
            findings.refuse(
                &format!("doctor.{option}.{number}"),
                format!("[doctor]: {option}: {name:?} is not a name in DNS: write it alone, for example \"example.org\""),
            );
        }
    }
}

impl Loaded {
    /// What the doctor is told of this configuration.
    pub fn doctor(&self) -> Options {
        Options {
            sessions: self.sessions.clone(),
            diagnosing: self.diagnosing.clone(),
            certificate_dirs: self.certificate_dirs.clone(),
            source: self.source.clone(),
            configuration: self.canonical(),
            digest: self.digest.clone(),
            domains: self.own_domains(),
            ..of_raw(&self.effective, self.store.clone())
        }
    }

    /// Those that are named, or else those that mail comes in for.
    fn own_domains(&self) -> Vec<String> {
        if !self.effective.doctor.domains.is_empty() {
            return self.effective.doctor.domains.clone();
        }
        let accepted = self.sessions.iter().flat_map(|session| &session.listener.accept_domains);
        let mut domains: Vec<String> = accepted.filter(|domain| !domain.starts_with('.')).cloned().collect();
        domains.sort();
        domains.dedup();
        domains
    }
}

fn of_raw(raw: &Raw, store: crate::store::Options) -> Options {
    let doctor = &raw.doctor;
    let host_name = raw.host_name.clone().unwrap_or_default();
    Options {
        helo: doctor.helo.clone().unwrap_or_else(|| host_name.clone()),
        sending_addresses: doctor.sending_addresses.iter().map(|address| address.0).collect(),
        domains: doctor.domains.clone(),
        dkim_selectors: doctor.dkim_selectors.clone(),
        private_networks: raw.upstream.iter().flat_map(|upstream| &upstream.private_networks).map(|network| network.0).collect(),
        mark: raw.upstream.iter().find_map(|upstream| upstream.mark),
        blocklists: doctor.blocklists.clone(),
        blocklists_off: doctor.blocklists_off.clone(),
        exports_off: raw.export.iter().filter(|export| !export.enabled).map(|export| export.name.clone()).collect(),
        patience: doctor.timeout.0,
        ..Options::bare(&host_name, store)
    }
}

/// For examinations that need no upstream: as the file says where it can be read, whatever else is wrong with it.
pub fn doctor_options(path: Option<&Path>) -> Options {
    let text = existing(path).and_then(|path| read(path).ok().map(|text| (path, text)));
    let mut findings = Findings::default();
    let mut raw = text.map(|(path, text)| shape::read(path, &text, &mut findings)).unwrap_or_default();
    fill(&mut raw, &mut findings);
    let store = limits::store(&raw.store, &mut findings);
    of_raw(&raw, store)
}
