//! How a successor gets the listening sockets and the store of the process that runs: the words that the two exchange.
//!
//! ```text
//! successor                     predecessor
//! hello, protocol       →
//!                       ←  socket, socket, …, all        each with its descriptor
//! give_up               →                                I can serve: configuration, certificates, sockets are there
//!                       ←  yours | refused               the store is free; mail is served all the while
//! serving               →                                now stop accepting, and drain
//! ```
//!
//! Until `serving` has come, the predecessor serves; if the successor goes away before, it takes its store back.

use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::mpsc;

use crate::net::channel::{Channel, Door};
use crate::net::passed::Passed;

/// In the store's directory.
const DOOR: &str = "handover.sock";
const PROTOCOL: u32 = 1;
/// How long the other side may take for an answer that needs no work.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the predecessor may take to give up its store, and the successor to open it.
const WORK: Duration = Duration::from_secs(120);
/// What a successor has to open the store that is its own already: a disk that stands still takes as long as it takes.
const OPENING: Duration = Duration::from_secs(86_400);
/// Before the door is tried again after an error.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
enum Word {
    Hello {
        protocol: u32,
        version: String,
    },
    /// With a descriptor: one of the sockets of this listener.
    Socket {
        listener: String,
    },
    All,
    GiveUp,
    Yours,
    Refused {
        why: String,
    },
    Serving,
}

/// Why nothing can be taken over. The predecessor serves on.
#[derive(Debug, Error)]
pub enum HandOverError {
    #[error("{path}: {error}")]
    Door { path: PathBuf, error: io::Error },
    #[error("process {pid} doesn't hand over: {why}")]
    Refused { pid: u32, why: String },
    #[error("process {pid} was asked to hand over, and then: {error}; look at its log, it serves on if it is alive")]
    Lost { pid: u32, error: io::Error },
}

/// The process that runs, as its successor sees it.
#[derive(Debug)]
pub(super) struct Predecessor {
    channel: Channel,
}

impl Predecessor {
    /// Looks for it in the store's directory; `None` if none runs there.
    pub fn find(store: &Path) -> Result<Option<Self>, HandOverError> {
        let path = store.join(DOOR);
        let channel = Channel::connect(&path, PATIENCE).map_err(|error| HandOverError::Door { path, error })?;
        Ok(channel.map(|channel| Self { channel }))
    }

    pub fn pid(&self) -> u32 {
        self.channel.peer
    }

    /// Its listening sockets. Both processes hold them from now on.
    pub fn sockets(&self) -> Result<Vec<Passed>, HandOverError> {
        // Others may be at it: it speaks with one at a time.
        self.wait(WORK)?;
        self.say(&Word::Hello { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned() })?;
        let mut sockets = Vec::new();
        loop {
            match self.hear()? {
                (Word::Socket { listener }, Some(socket)) => sockets.push(Passed::new(listener, socket).map_err(|error| self.lost(error))?),
                (Word::All, None) => return Ok(sockets),
                (word, _) => return Err(self.unexpected(word)),
            }
        }
    }

    /// Has it give up its store.
    pub fn give_up(&self) -> Result<(), HandOverError> {
        self.say(&Word::GiveUp)?;
        match self.hear()? {
            (Word::Yours, None) => Ok(()),
            (word, _) => Err(self.unexpected(word)),
        }
    }

    /// Says that mail is served here. Nobody waits for an answer: if it has gone meanwhile, so much the better.
    pub fn serving(self) {
        if let Err(error) = self.say(&Word::Serving) {
            tracing::warn!(%error, "the process before this one has gone");
        }
    }

    fn wait(&self, patience: Duration) -> Result<(), HandOverError> {
        self.channel.be_patient(patience).map_err(|error| self.lost(error))
    }

    fn say(&self, word: &Word) -> Result<(), HandOverError> {
        say(&self.channel, word, None).map_err(|error| self.lost(error))
    }

    fn hear(&self) -> Result<(Word, Option<TcpListener>), HandOverError> {
        hear(&self.channel).map_err(|error| self.lost(error))
    }

    fn lost(&self, error: io::Error) -> HandOverError {
        HandOverError::Lost { pid: self.pid(), error }
    }

    fn unexpected(&self, word: Word) -> HandOverError {
        match word {
            Word::Refused { why } => HandOverError::Refused { pid: self.pid(), why },
            word => self.lost(out_of_place(&word)),
        }
    }
}

/// What a successor wants of this process.
#[derive(Debug)]
pub(super) enum Request {
    /// Copies of the listening sockets, each with its listener's name.
    Sockets(SyncSender<Vec<(String, TcpListener)>>),
    /// To give up the store; why not, if not.
    GiveUp(SyncSender<Result<(), String>>),
    /// It serves.
    Serving { pid: u32 },
    /// It has gone before it served.
    Gone,
}

/// Waits for successors, one at a time, on a thread of its own that ends with the process. No request will come if the door can't be made.
pub(super) fn await_successor(store: &Path) -> mpsc::Receiver<Request> {
    let (requests, waiting) = mpsc::channel(1);
    let path = store.join(DOOR);
    let door = match Door::open(&path) {
        Ok(door) => door,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "no other process can take over from this one: restarts will have a gap");
            return waiting;
        }
    };
    let started = std::thread::Builder::new().name("handover".to_owned()).spawn(move || {
        while !requests.is_closed() {
            match door.wait(WORK) {
                Ok(channel) => converse(&channel, &requests),
                Err(error) => {
                    tracing::warn!(%error, "successors can't be heard at present");
                    std::thread::sleep(PAUSE);
                }
            }
        }
    });
    if let Err(error) = started {
        tracing::warn!(%error, "no other process can take over from this one: restarts will have a gap");
    }
    waiting
}

fn converse(channel: &Channel, requests: &mpsc::Sender<Request>) {
    let pid = channel.peer;
    tracing::info!(pid, "another relayscope asks to take over");
    let last = match hand_over(channel, requests) {
        Ok(()) => Request::Serving { pid },
        Err(error) => {
            tracing::warn!(pid, %error, "it does not take over: this process serves on");
            Request::Gone
        }
    };
    let _ = requests.blocking_send(last);
}

fn hand_over(channel: &Channel, requests: &mpsc::Sender<Request>) -> io::Result<()> {
    let refuse = |why: String| {
        let error = io::Error::other(why.clone());
        say(channel, &Word::Refused { why }, None)?;
        Err(error)
    };
    match hear(channel)? {
        (Word::Hello { protocol: PROTOCOL, .. }, None) => {}
        (Word::Hello { protocol, version }, None) => {
            return refuse(format!(
                "version {version} speaks protocol {protocol}, this one {PROTOCOL}: stop this process, then start that"
            ));
        }
        (word, _) => return Err(out_of_place(&word)),
    }
    let sockets = match ask(requests, Request::Sockets) {
        Ok(sockets) => sockets,
        Err(error) => return refuse(error.to_string()),
    };
    for (listener, socket) in sockets {
        say(channel, &Word::Socket { listener }, Some(&socket))?;
    }
    say(channel, &Word::All, None)?;
    expect(channel, |word| matches!(word, Word::GiveUp))?;
    match ask(requests, Request::GiveUp)? {
        Ok(()) => say(channel, &Word::Yours, None)?,
        Err(why) => return refuse(why),
    }
    // It has the store now, however long it takes to open it: that it has died shows by the channel's end.
    channel.be_patient(OPENING)?;
    expect(channel, |word| matches!(word, Word::Serving))
}

/// Asks the process's own task.
fn ask<T>(requests: &mpsc::Sender<Request>, request: impl FnOnce(SyncSender<T>) -> Request) -> io::Result<T> {
    let (answer, answered) = sync_channel(1);
    let ending = || io::Error::other("it has been told to end, and is draining: start when it has ended");
    requests.blocking_send(request(answer)).map_err(|_| ending())?;
    answered.recv().map_err(|_| ending())
}

fn expect(channel: &Channel, wanted: impl Fn(&Word) -> bool) -> io::Result<()> {
    match hear(channel)? {
        (word, None) if wanted(&word) => Ok(()),
        (word, _) => Err(out_of_place(&word)),
    }
}

fn say(channel: &Channel, word: &Word, socket: Option<&TcpListener>) -> io::Result<()> {
    channel.send(&serde_json::to_vec(word)?, socket)
}

fn hear(channel: &Channel) -> io::Result<(Word, Option<TcpListener>)> {
    let (octets, socket) = channel.receive()?;
    let word = serde_json::from_slice(&octets).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
    Ok((word, socket))
}

fn out_of_place(word: &Word) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("{word:?} is out of place"))
}
