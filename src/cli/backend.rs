//! Where answers come from: a running proxy's API, or the store of a stopped one. Both answer alike.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Traces;
use super::client::{Client, Events, Place};
use super::failure::Failure;
use super::screen::visible;
use crate::config;
use crate::http::{Dns, SOCKET};
use crate::net::resolve::Resolver;
use crate::path::ask::StoreNumbers;
use crate::path::outside::Outside;
use crate::path::{Answer, Asked, Clock, ListRequest, Listing, Manner, Stats, StoreTraces, What, never, stats};
use crate::store::{Day, OpenError, Opened, Options, RecoveryReport, Store};
use crate::trace::json::{Id, Record, Time};
use crate::trace::{RecordId, WallMicros};
use crate::wording::in_shell;

/// Where a store is looked for if none is named.
const USUAL: [&str; 2] = ["./relayscope-store", "/var/lib/relayscope"];

#[derive(Debug)]
pub enum Backend {
    Api(Client),
    Store(StoreTraces),
}

impl Backend {
    /// The API that is named, the one of the store's running proxy, or the store itself.
    pub fn open(traces: &Traces) -> Result<Self, Failure> {
        Self::opened(traces, Store::open_to_ask)
    }

    /// The same, for what adds to the store: not to a copy beside it.
    pub fn open_to_write(traces: &Traces) -> Result<Self, Failure> {
        Self::opened(traces, Store::open_offline)
    }

    fn opened(traces: &Traces, open: impl FnOnce(Options) -> Result<Opened, OpenError>) -> Result<Self, Failure> {
        match api(traces)? {
            Some(client) => Ok(Self::Api(client)),
            None => {
                let dir = store_dir(traces)?;
                // Nor is one made of a directory that is something else.
                must_be_store(&dir)?;
                let opened = open(options(&dir)).map_err(not_opened)?;
                tell_what_is_missing(&opened.report, &dir);
                Ok(Self::Store(StoreTraces::new(opened.store, false)))
            }
        }
    }

    /// `dns`: whether DNS may be asked where nothing matches. The proxy asks if there is one, with its own addresses in view.
    pub fn locate(&self, what: &What, limit: usize, now: Timestamp, dns: bool) -> Result<Answer, Failure> {
        let mut answer = match self {
            Self::Store(store) => {
                let dns = dns.then(|| Dns::new(Resolver::new(&config::dns_options(None)), Vec::new())).and_then(|dns| dns.look_ups());
                let outside = dns.as_ref().map(|dns| dns as &dyn Outside);
                store.locate(what, Manner { limit, now: micros(now), outside }).map_err(Failure::failed)?
            }
            Self::Api(client) => {
                let (question, limit) = (what.canonical(), limit.to_string());
                let mut query = vec![("q", question.as_str()), ("limit", limit.as_str())];
                query.extend((!dns).then_some(("dns", "false")));
                found(client.get("/api/v1/where", &query)?)?
            }
        };
        // The API was asked with absolute times; the answer is to what was typed.
        answer.query.clone_from(&what.text);
        if let Some(seen) = &mut answer.never_seen {
            seen.verdict = never::verdict(seen, &what.text, &Clock::utc());
        }
        Ok(answer)
    }

    pub fn list(&self, what: &What, request: ListRequest) -> Result<Listing, Failure> {
        match self {
            Self::Store(store) => store.list(what, request).map_err(Failure::failed),
            Self::Api(client) => {
                let (question, limit) = (what.canonical(), request.limit.to_string());
                let cursor = request.before.map(|cursor| cursor.to_string());
                let mut query = vec![("q", question.as_str()), ("limit", limit.as_str())];
                query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
                query.extend(request.explain.then_some(("explain", "true")));
                found(client.get("/api/v1/transactions", &query)?)
            }
        }
    }

    pub fn record(&self, id: RecordId) -> Result<Option<Record>, Failure> {
        match self {
            Self::Store(store) => store.record(id).map_err(Failure::failed),
            Self::Api(client) => Ok(client.get(&format!("/api/v1/transactions/{id}"), &[])?),
        }
    }

    pub fn stats(&self, what: &What, asked: &Asked<'_>) -> Result<Stats, Failure> {
        match self {
            Self::Store(store) => stats::stats(store, what, asked).map_err(Failure::failed),
            Self::Api(client) => {
                let by = asked.by.iter().map(|by| by.word()).collect::<Vec<_>>().join(",");
                let (question, over) = (what.canonical(), Time(asked.since).to_string());
                let mut query = vec![("q", question.as_str()), ("by", by.as_str()), ("over", over.as_str())];
                query.extend(asked.explain.then_some(("explain", "true")));
                found(client.get("/api/v1/stats", &query)?)
            }
        }
    }

    pub fn store_stats(&self) -> Result<StoreNumbers, Failure> {
        match self {
            Self::Store(store) => store.store_stats().map_err(Failure::failed),
            Self::Api(client) => found(client.get("/api/v1/store/stats", &[])?),
        }
    }
}

/// The API that is named, or the one of the store's running proxy; `None` if none is running.
pub fn api(traces: &Traces) -> Result<Option<Client>, Failure> {
    if let Some(url) = &traces.api {
        let place = Place::parse(url).map_err(|error| Failure::usage(format!("--api {error}")))?;
        let token = token(traces)?;
        if let (Some(_), Some(host)) = (&token, place.beyond()) {
            return Err(Failure::usage(format!("--api {url}: the token would travel to {host} in clear"))
                .advise("forward a port of this machine, `ssh -L 8025:127.0.0.1:8025 HOST`, and ask --api http://127.0.0.1:8025"));
        }
        return Ok(Some(Client::new(place, token)?));
    }
    let socket = running(&store_dir(traces)?)?;
    Ok(socket.map(|socket| Client::new(Place::Unix(socket), None)).transpose()?)
}

/// How long a proxy may be away that is restarted.
const RESTART: Duration = Duration::from_secs(30);
/// Between two attempts to reach it again.
const AGAIN: Duration = Duration::from_millis(250);

/// Records as they are stored, over restarts of the proxy.
#[derive(Debug)]
pub struct Live {
    events: Events,
    traces: Traces,
    question: String,
    /// Those that were seen since the last place to go on from.
    seen: HashSet<Id>,
    /// Until when it is waited for, since it went.
    deadline: Option<Instant>,
}

impl Live {
    /// Follows what comes; `None` if no proxy is running.
    pub fn follow(traces: &Traces, what: &What) -> Result<Option<Self>, Failure> {
        let Some(client) = api(traces)? else { return Ok(None) };
        let question = what.canonical();
        let events = client.follow(LIVE, &[("q", &question)])?;
        Ok(Some(Self { events, traces: traces.clone(), question, seen: HashSet::new(), deadline: None }))
    }

    /// The next record, or `None` if the proxy has gone for good.
    pub fn next(&mut self) -> Result<Option<Record>, Failure> {
        loop {
            let Ok(Some(data)) = self.events.next_data() else {
                if self.resume() {
                    continue;
                }
                return Ok(None);
            };
            let record: Record = serde_json::from_str(&data).map_err(Failure::failed)?;
            let is_new = self.seen.insert(record.id());
            if self.events.is_marked {
                self.seen.clear();
            }
            if is_new {
                return Ok(Some(record));
            }
        }
    }

    /// Goes on where the stream broke off, with the same proxy or its successor.
    fn resume(&mut self) -> bool {
        let Some(place) = self.events.last_id.clone() else { return false };
        // One that answers and breaks off at once isn't there again.
        if self.events.is_alive || self.deadline.is_none() {
            eprintln!("relayscope: the proxy has gone: waiting for it, or for one that takes its place");
            self.deadline = Some(Instant::now() + RESTART);
        }
        while self.deadline.is_some_and(|deadline| Instant::now() < deadline) {
            std::thread::sleep(AGAIN);
            let followed = api(&self.traces).ok().flatten();
            let followed = followed.and_then(|client| client.follow(LIVE, &[("q", &self.question), ("cursor", &place)]).ok());
            if let Some(mut events) = followed {
                events.last_id = Some(place);
                self.events = events;
                return true;
            }
        }
        false
    }
}

const LIVE: &str = "/api/v1/live";

/// The API has no answer for a path that it must know.
fn found<T>(answer: Option<T>) -> Result<T, Failure> {
    answer.ok_or_else(|| Failure::failed(anyhow::anyhow!("the API does not know this question: is it another version?")))
}

fn micros(now: Timestamp) -> WallMicros {
    u64::try_from(now.as_microsecond()).unwrap_or_default()
}

fn token(traces: &Traces) -> Result<Option<String>, Failure> {
    match &traces.token_file {
        Some(path) => crate::http::read_token(path).map(Some).map_err(|error| Failure::usage(error.to_string())),
        None => Ok(std::env::var("RELAYSCOPE_TOKEN").ok().filter(|token| !token.is_empty())),
    }
}

/// The store that is named, or the first of the usual ones that is there.
pub fn store_dir(traces: &Traces) -> Result<PathBuf, Failure> {
    let advice = "name the store of your proxy with --store DIR, or a running proxy with --api URL";
    match &traces.store {
        // Never made here: a mistyped name must not look like an empty store.
        Some(dir) if dir.is_dir() => Ok(dir.clone()),
        Some(dir) => Err(Failure::failed(anyhow::anyhow!("{}: there is no such directory", dir.display())).advise(advice)),
        None => match USUAL.iter().map(Path::new).find(|dir| dir.is_dir()) {
            Some(dir) => Ok(dir.to_owned()),
            None => Err(Failure::failed(anyhow::anyhow!("no store at {}", USUAL.join(" or "))).advise(advice)),
        },
    }
}

/// Refuses a directory that is closed to this user: nothing can be said of what is in it.
pub fn must_be_open(dir: &Path) -> Result<(), Failure> {
    match std::fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let owner = std::fs::metadata(dir).map(|it| format!(" (sudo -u '#{}' relayscope …)", it.uid())).unwrap_or_default();
            let failure = Failure::failed(anyhow::anyhow!("{}: {error}", dir.display()));
            Err(failure.advise(format!("the store is closed to this user: become the proxy's{owner}, or join its group")))
        }
        _ => Ok(()),
    }
}

/// Records that can't be read would be told as mail that never came.
fn tell_what_is_missing(report: &RecoveryReport, dir: &Path) {
    for (file, why) in &report.unreadable {
        eprintln!("relayscope: {}: {why}: what it holds is missing from the answer", visible(&file.display().to_string()));
    }
    if !report.damage.is_empty() {
        eprintln!("relayscope: the journal is damaged: some records may be missing from the answer");
    }
    if !report.unreadable.is_empty() || !report.damage.is_empty() {
        eprintln!("  relayscope store check --store {} tells what is lost", in_shell(&dir.display().to_string()));
    }
}

/// Refuses a directory that no proxy ever recorded in: what is told of it, or copied, would be nothing.
pub fn must_be_store(dir: &Path) -> Result<(), Failure> {
    let is_day = |entry: std::fs::DirEntry| entry.file_name().to_str().is_some_and(|name| name.parse::<Day>().is_ok());
    must_be_open(dir)?;
    if dir.join("lock").exists() || std::fs::read_dir(dir).is_ok_and(|entries| entries.flatten().any(is_day)) {
        return Ok(());
    }
    Err(Failure::usage(format!("{}: is no store: nothing was ever recorded there", dir.display()))
        .advise("name the store of your proxy with --store DIR"))
}

/// For commands that work on the files themselves.
pub fn on_disk(traces: Traces) -> Result<Traces, Failure> {
    match traces.api {
        Some(_) => Err(Failure::usage("this works on the store's files: name them with --store DIR, not --api")),
        None => Ok(traces),
    }
}

/// The socket of a proxy that answers there now.
pub fn running(dir: &Path) -> Result<Option<PathBuf>, Failure> {
    let socket = dir.join(SOCKET);
    match UnixStream::connect(&socket) {
        Ok(_) => Ok(Some(socket)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => {
            must_be_open(dir)?;
            let failure = Failure::failed(anyhow::anyhow!("{}: {error}", socket.display()));
            Err(match error.kind() {
                ErrorKind::PermissionDenied => failure.advise("become the proxy's user, or join its group: the socket has mode 0660"),
                _ => failure,
            })
        }
    }
}

/// How long traces are kept is the proxy's to decide, not a reader's.
pub fn options(dir: &Path) -> Options {
    Options { keep_days: 0, keep_octets: 0, ..Options::new(dir) }
}

const READ_ONLY: &str = "look why the file system is mounted read-only (`journalctl -k`), and remount it: mount -o remount,rw";

/// Why a store can't be opened, and what to do.
pub fn not_opened(error: OpenError) -> Failure {
    let advice = match &error {
        OpenError::InUse { .. } | OpenError::InUseBySomebody { .. } => {
            "it holds the store but does not answer on its api.sock: see its log"
        }
        OpenError::InUseByCommand { .. } => "try again then",
        OpenError::NotOurs { owner, .. } => &format!("run it as that user: sudo -u '#{owner}' relayscope …"),
        OpenError::Form { .. } | OpenError::Format { .. } => "nothing was changed in it",
        OpenError::Io { error, .. } if error.kind() == ErrorKind::ReadOnlyFilesystem => READ_ONLY,
        OpenError::Io { .. } => "run it as the proxy's user, or repair the directory's permissions",
    };
    Failure::failed(error).advise(advice)
}
