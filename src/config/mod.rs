//! From the file and the flags to each module's options. Nothing else reads configuration.
//!
//! `shape` reads the file into `raw`, `overrides` lays the flags over it, then `listeners`, `upstreams` and `limits` turn it
//! into options and refuse what can't be meant. All of them report into one `Findings`, so that everything wrong is told at once.

mod addresses;
mod anomaly;
mod diagnosis;
mod doctor;
mod export;
mod exports;
mod init;
mod limits;
mod listeners;
mod nearest;
mod overrides;
mod problem;
mod raw;
mod raw_dns;
mod raw_http;
mod raw_route;
mod routes;
mod secret;
mod shape;
mod show;
mod staging;
mod thresholds;
mod units;
mod upstreams;
mod written;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnose::Diagnosing;
use crate::net::resolve;
use crate::relay::options::SessionOptions;
use crate::store;

pub use anomaly::{NotifyOptions, WatchOptions};
pub use diagnosis::rules_in;
pub use doctor::doctor_options;
pub use export::ExportOptions;
pub use init::{First, InitError, TEMPLATE, init};
pub use overrides::Overrides;
pub use problem::{ConfigErrors, Location, Problem};

use problem::{Findings, Places};
use raw::Raw;

/// Where the file is looked for when none is named.
pub const DEFAULT_PATHS: [&str; 2] = ["config/relayscope.toml", "/etc/relayscope/relayscope.toml"];

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    pub level: LogLevel,
    pub format: LogFormat,
    /// Directives that go before the level: "relayscope::store=debug".
    pub filter: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// The journal's where systemd leads standard error there, text otherwise.
    Auto,
    Text,
    Json,
    Journald,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<LogLevel> for tracing::Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

/// `[http]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// A loopback address; `None`: only the socket in the store directory.
    pub listen: Option<SocketAddr>,
    pub metrics: MetricsAccess,
}

/// Who may read the metrics over TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsAccess {
    /// Whoever has the token, as for everything else.
    Token,
    /// Whoever can reach the loopback address.
    Open,
}

/// A configuration that can be run.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The file it came from; `None`: flags and defaults alone.
    pub source: Option<PathBuf>,
    /// What the command line said instead.
    pub flags: Overrides,
    pub node: String,
    pub host_name: String,
    pub workers: usize,
    pub log: LogOptions,
    pub http: HttpOptions,
    /// Where a self-signed certificate is looked for, and made in the first that can be written to.
    pub certificate_dirs: Vec<PathBuf>,
    /// One for each `[[listener]]`, at least one.
    pub sessions: Vec<Arc<SessionOptions>>,
    /// By which failures are diagnosed.
    pub diagnosing: Diagnosing,
    /// How anomalies are watched for, and who is told.
    pub watching: WatchOptions,
    /// Where traces are forwarded to; those that are switched off are not among them.
    pub exports: Vec<ExportOptions>,
    pub store: store::Options,
    pub dns: resolve::Options,
    /// First 16 hex digits of the BLAKE3 of the effective configuration, secrets left out.
    pub digest: String,
    /// What is possible, but probably not meant, or dangerous.
    pub warnings: Vec<Problem>,
    effective: Raw,
    places: Places,
}

impl Loaded {
    /// The effective configuration as a file, with the origin of each value.
    pub fn show(&self) -> String {
        show::render(&self.effective, &self.places)
    }

    /// Leaves as it is in a process that runs with `before` what that can't change while it runs.
    pub fn keep_what_takes_a_restart(&mut self, before: &Self) {
        self.store.clone_from(&before.store);
        self.http.clone_from(&before.http);
        self.workers = before.workers;
        self.effective.store.clone_from(&before.effective.store);
        self.effective.http.clone_from(&before.effective.http);
        self.effective.workers = before.effective.workers;
        self.digest = show::digest(&self.effective);
    }

    /// The effective configuration as a file, without any secret: what the digest is of.
    pub fn canonical(&self) -> String {
        show::canonical(&self.effective)
    }
}

/// Loads the named file, or else the first of [`DEFAULT_PATHS`] that exists, or else the defaults; flags count before either.
pub fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Loaded, ConfigErrors> {
    match existing(path) {
        Some(path) => load_text(path, &read(path)?, overrides),
        None => build(None, Raw::default(), Findings::default(), overrides),
    }
}

/// Loads a text as if it stood in `path`.
pub fn load_text(path: &Path, text: &str, overrides: &Overrides) -> Result<Loaded, ConfigErrors> {
    let mut findings = Findings::default();
    let raw = shape::read(path, text, &mut findings);
    build(Some(path), raw, findings, overrides)
}

/// Where the traces are, for commands that only read them: whatever else is wrong with the file doesn't keep them from it.
pub fn store_dir(path: Option<&Path>, overrides: &Overrides) -> Result<PathBuf, ConfigErrors> {
    if let Some(dir) = &overrides.store {
        return Ok(dir.clone());
    }
    let Some(path) = existing(path) else { return Ok(Raw::default().store.dir) };
    let mut findings = Findings::default();
    let raw = shape::read(path, &read(path)?, &mut findings);
    if findings.is_broken("store.dir") || findings.is_lost("store") {
        findings.into_result()?;
    }
    Ok(raw.store.dir)
}

/// How names are resolved, for commands that only read traces: as the file says, or else the system's way.
pub fn dns_options(path: Option<&Path>) -> resolve::Options {
    let text = existing(path).and_then(|path| read(path).ok().map(|text| (path, text)));
    let raw = text.map(|(path, text)| shape::read(path, &text, &mut Findings::default()));
    raw.unwrap_or_default().dns.options()
}

/// How anomalies are watched for, for commands that go through old records: whatever else is wrong with the file doesn't matter.
///
/// # Errors
/// The file that was named can't be read, or `[anomaly]` in it is wrong.
pub fn watch_options(path: Option<&Path>) -> Result<WatchOptions, ConfigErrors> {
    let Some(file) = existing(path) else { return Ok(anomaly::watching(&Raw::default(), &mut Findings::default())) };
    let mut findings = Findings::default();
    let raw = shape::read(file, &read(file)?, &mut findings);
    let options = anomaly::watching(&raw, &mut findings);
    if findings.is_broken("anomaly") || findings.is_lost("anomaly") {
        findings.into_result()?;
    }
    Ok(options)
}

/// The JSON Schema of the file.
pub fn schema() -> serde_json::Value {
    shape::SCHEMA.clone()
}

/// The file that was named, there or not, or the first of the usual ones that is there.
fn existing(path: Option<&Path>) -> Option<&Path> {
    path.or_else(|| DEFAULT_PATHS.iter().map(Path::new).find(|path| path.exists()))
}

fn read(path: &Path) -> Result<String, ConfigErrors> {
    fs::read_to_string(path).map_err(|error| {
        let text = match error.kind() {
            io::ErrorKind::NotFound => "no such file: `relayscope config init` writes one with every option explained".to_owned(),
            io::ErrorKind::PermissionDenied => {
                "not readable by this user: run `chgrp` and `chmod g+r` on it for the service's group".to_owned()
            }
            io::ErrorKind::InvalidData => "not UTF-8 text: save it in that encoding".to_owned(),
            io::ErrorKind::IsADirectory => "is a directory: name the file in it".to_owned(),
            _ => format!("cannot be read: {error}"),
        };
        ConfigErrors { problems: vec![Problem { location: Location::File(path.to_owned()), text }] }
    })
}

fn build(source: Option<&Path>, mut raw: Raw, mut findings: Findings, overrides: &Overrides) -> Result<Loaded, ConfigErrors> {
    overrides.apply(&mut raw, &mut findings);
    fill(&mut raw, &mut findings);
    let limits = Arc::new(limits::limits(&raw, &mut findings));
    let store = limits::store(&raw.store, &mut findings);
    let upstreams = upstreams::upstreams(&mut raw, &mut findings);
    let listeners = listeners::listeners(&mut raw, &upstreams, &mut findings);
    let diagnosing = diagnosis::diagnosing(source, &raw, &mut findings);
    let watching = anomaly::watching(&raw, &mut findings);
    let routes = Arc::new(routes::table(&raw, &upstreams, &listeners, &mut findings));
    let upstreams = Arc::new(upstreams);
    limits::http(&raw, &mut findings);
    limits::log(&raw, &mut findings);
    doctor::check(&raw, &mut findings);
    let exports = exports::exports(&raw, &mut findings);

    let (places, warnings) = findings.into_result()?;
    let sessions = listeners.into_iter().map(|(listener, upstream)| {
        Arc::new(SessionOptions {
            listener: Arc::new(listener),
            upstream,
            upstreams: Arc::clone(&upstreams),
            routes: Arc::clone(&routes),
            limits: Arc::clone(&limits),
            on_store_failure: raw.store.on_store_failure.into(),
            diagnosing: diagnosing.clone(),
            host_name: raw.host_name.clone().unwrap_or_default(),
        })
    });
    Ok(Loaded {
        source: source.map(Path::to_owned),
        flags: overrides.clone(),
        node: raw.node.clone().unwrap_or_default(),
        host_name: raw.host_name.clone().unwrap_or_default(),
        workers: usize::try_from(raw.workers).unwrap_or(1),
        log: LogOptions { level: raw.log.level.into(), format: raw.log.format.into(), filter: raw.log.filter.clone() },
        http: HttpOptions { listen: raw.http.listen.0, metrics: raw.http.metrics.into() },
        certificate_dirs: vec![raw.certificate_dir.clone(), raw.store.dir.clone()],
        sessions: sessions.collect(),
        diagnosing,
        watching,
        exports,
        store,
        dns: raw.dns.options(),
        digest: show::digest(&raw),
        warnings,
        effective: raw,
        places,
    })
}

/// Puts in what the machine knows where the file says nothing.
fn fill(raw: &mut Raw, findings: &mut Findings) {
    if let Some(name) = raw.host_name.as_deref().filter(|name| !addresses::is_host(name)) {
        findings.refuse("host_name", format!("host_name = {name:?} is not a host name: write for example \"relay.example.org\""));
    }
    let machine = machine_name();
    raw.host_name.get_or_insert_with(|| machine.clone());
    raw.node.get_or_insert(machine);
    if raw.workers == 0 {
        // Measured on two processors: a second worker costs CPU and gains nothing, because the mail server and the store's own
        // threads need the other one.
        raw.workers = std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get() / 2).unwrap_or(1).max(1));
    }
}

fn machine_name() -> String {
    let read = |path: &str| fs::read_to_string(path).ok().map(|name| name.trim().to_owned()).filter(|name| addresses::is_host(name));
    ["/proc/sys/kernel/hostname", "/etc/hostname"].into_iter().find_map(read).unwrap_or_else(|| "localhost".to_owned())
}
