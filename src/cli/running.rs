//! What the proxy that runs on a store goes by, for commands that examine a configuration: its file, its flags, its addresses.

use std::path::{Path, PathBuf};

use super::Traces;
use super::backend;
use super::client::{Client, Place};
use super::failure::Failure;
use super::run::Source;
use crate::config::{self, Loaded, Overrides};
use crate::http::Running;

/// A configuration to be examined.
#[derive(Debug)]
pub(super) struct Effective {
    /// As it was asked for, or as the running proxy has it.
    pub source: Source,
    /// The proxy that `source` was taken from.
    pub of: Option<Running>,
}

impl Effective {
    /// Whoever names another file or a flag means that; otherwise the proxy that runs on the store is meant, if one does.
    ///
    /// # Errors
    /// The store that is named, and nothing else, is closed to this user: what the proxy on it goes by can't be known.
    pub fn of(asked: Source, dir: Option<PathBuf>) -> Result<Self, Failure> {
        let is_flagged = asked.smart_host.is_some() || asked.listen.is_some() || asked.http.is_some();
        let is_same = |running: &Running| asked.config.as_ref().is_none_or(|file| std::path::absolute(file).ok() == running.config);
        if !is_flagged
            && asked.config.is_none()
            && let Some(named) = &asked.store
        {
            backend::must_be_open(named)?;
        }
        let running = dir.filter(|_| !is_flagged).and_then(|dir| ask(&dir)).filter(is_same);
        let Some(running) = running else { return Ok(Self { source: asked, of: None }) };
        let Running { config, listen, smart_host, store, http, .. } = running.clone();
        Ok(Self { source: Source { config, listen, smart_host, store, http, take_over: asked.take_over }, of: Some(running) })
    }

    /// Says on standard error what isn't plain: flags that lead mail elsewhere than the file, and a file that isn't what the proxy goes by.
    pub fn say(&self, loaded: &Loaded) {
        let Some(running) = &self.of else { return };
        let leading = Running { store: None, http: None, ..running.clone() };
        if let Some(flags) = flags(&leading) {
            eprintln!("relayscope: as the running proxy was started: {flags}");
        }
        if loaded.digest != running.digest {
            eprintln!(
                "relayscope: the running proxy goes by another configuration than this: the file was changed since it was read. SIGHUP has it \
                 read again; addresses, [store], [http] and `workers` take a restart"
            );
        }
    }
}

/// The flags that say other than the file.
pub(super) fn flags(running: &Running) -> Option<String> {
    let given = [("--listen", &running.listen), ("--smart-host", &running.smart_host), ("--http", &running.http)];
    let mut given: Vec<String> =
        given.into_iter().filter_map(|(flag, value)| Some(format!("{flag} {}", super::in_shell(value.as_deref()?)))).collect();
    given.extend(running.store.iter().map(|dir| format!("--store {}", super::in_shell(&dir.to_string_lossy()))));
    (!given.is_empty()).then(|| given.join(" "))
}

/// The store that is named, or else that of the file which would be read, or else, without any file, one of the usual places.
pub(super) fn store_of(store: Option<&Path>, config: Option<&Path>) -> Option<PathBuf> {
    if let Some(dir) = store {
        return Some(dir.to_owned());
    }
    if config.is_some() || config::DEFAULT_PATHS.iter().any(|path| Path::new(path).exists()) {
        return config::store_dir(config, &Overrides::default()).ok();
    }
    backend::store_dir(&Traces { store: None, api: None, token_file: None, json: false }).ok()
}

/// The proxy that answers there; none if it can't be asked, or is too old to say.
pub(super) fn ask(dir: &Path) -> Option<Running> {
    let socket = backend::running(dir).ok()??;
    Client::new(Place::Unix(socket), None).ok()?.get("/api/v1/running", &[]).ok()?
}
