//! Where the records of logs go: to a running proxy, into the store of a stopped one, or nowhere.

use serde::Deserialize;

use crate::cli::Traces;
use crate::cli::backend;
use crate::cli::client::{Answered, Client, Place};
use crate::cli::failure::Failure;
use crate::cli::import::{not_begun, store_dir};
use crate::cli::screen::show_json;
use crate::diagnose::Rules;
use crate::http::{INTAKE_OCTETS, INTAKE_PATH, INTAKE_RECORDS};
use crate::store::Import;
use crate::trace::diagnosis::diagnose;
use crate::trace::{Record, json};

/// Octets of a batch; one more record always fits into a request.
const BATCH: usize = INTAKE_OCTETS / 4;

/// What became of the records.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct Taken {
    pub added: u64,
    pub known: u64,
}

pub enum Sink {
    Nowhere { prints: bool },
    Store(Box<Import>),
    Proxy(Batch),
}

impl Sink {
    pub fn open(traces: &Traces, is_dry: bool) -> Result<Self, Failure> {
        if is_dry {
            return Ok(Self::Nowhere { prints: traces.json });
        }
        if traces.api.is_some() {
            return Ok(Self::Proxy(Batch::new(Client::new(Place::Unix(socket(traces)?), None)?)));
        }
        let dir = store_dir(traces)?;
        match backend::running(&dir)? {
            Some(socket) => Ok(Self::Proxy(Batch::new(Client::new(Place::Unix(socket), None)?))),
            None => Ok(Self::Store(Box::new(Import::begin(backend::options(&dir)).map_err(not_begun)?))),
        }
    }

    pub fn add(&mut self, mut record: Record) -> Result<(), Failure> {
        match self {
            Self::Nowhere { prints: false } => {}
            Self::Nowhere { prints: true } => {
                diagnose(&mut record, Rules::builtin());
                show_json(&json::Record::from(&record))?;
            }
            Self::Store(import) => {
                diagnose(&mut record, Rules::builtin());
                import.add(&record).map_err(|error| {
                    Failure::failed(error).advise("import it again when that is mended: what is in the store already is skipped")
                })?;
            }
            Self::Proxy(batch) => {
                batch.push(&record)?;
                if batch.is_full() {
                    self.hand_in()?;
                }
            }
        }
        Ok(())
    }

    /// A running proxy shall have what there is.
    pub fn hand_in(&mut self) -> Result<(), Failure> {
        match self {
            Self::Proxy(batch) => batch.send().map_err(|error| error.advise("import it again: what is in the store already is skipped")),
            Self::Nowhere { .. } | Self::Store(_) => Ok(()),
        }
    }

    /// All is stored then.
    pub fn finish(self) -> Result<Taken, Failure> {
        match self {
            Self::Nowhere { .. } => Ok(Taken::default()),
            Self::Store(import) => {
                let report = import.finish().map_err(Failure::failed)?;
                Ok(Taken { added: report.added, known: report.known })
            }
            Self::Proxy(mut batch) => {
                batch.send()?;
                Ok(batch.taken)
            }
        }
    }
}

/// The socket of the proxy that is named: records are handed in nowhere else.
pub fn socket(traces: &Traces) -> Result<std::path::PathBuf, Failure> {
    match traces.api.as_deref().map(Place::parse) {
        Some(Ok(Place::Unix(path))) => Ok(path),
        Some(Ok(Place::Tcp(_))) => Err(Failure::usage("--api: over TCP nothing can be handed in: name the socket, unix:/path/to/api.sock")),
        Some(Err(error)) => Err(Failure::usage(format!("--api {error}"))),
        None => Ok(backend::store_dir(traces)?.join(crate::http::SOCKET)),
    }
}

/// Records on their way to a proxy.
pub struct Batch {
    client: Client,
    lines: Vec<u8>,
    records: usize,
    pub taken: Taken,
}

impl Batch {
    pub fn new(client: Client) -> Self {
        Self { client, lines: Vec::new(), records: 0, taken: Taken::default() }
    }

    pub fn push(&mut self, record: &Record) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.lines, &json::Record::from(record)).map_err(Failure::failed)?;
        self.lines.push(b'\n');
        self.records += 1;
        Ok(())
    }

    pub fn is_full(&self) -> bool {
        self.records >= INTAKE_RECORDS || self.lines.len() >= BATCH
    }

    /// Hands in what there is; it stays here if that fails. An exit status of usage means that trying again is of no use.
    pub fn send(&mut self) -> Result<(), Failure> {
        if self.records == 0 {
            return Ok(());
        }
        match self.client.put_in::<Taken>(INTAKE_PATH, self.lines.clone())? {
            Answered::Done(taken) => {
                self.taken.added += taken.added;
                self.taken.known += taken.known;
                self.lines.clear();
                self.records = 0;
                Ok(())
            }
            Answered::Refused(why) | Answered::NotFound(why) => Err(Failure::usage(format!("the proxy does not take the records: {why}"))),
            Answered::Unknown => Err(Failure::usage("the proxy that runs on this store is of a version that takes no records of logs")
                .advise("restart it with this version (`relayscope run --take-over` refuses no connection meanwhile)")),
        }
    }
}
