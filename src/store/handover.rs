//! A store changes hands while mail flows: its owner goes on recording in a file of its own (`drain`), the next one takes that in (`adopt`).

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use thiserror::Error;

use super::drain::Drain;
use super::handle::Store;
use super::live::Use;
use super::open::OpenError;
use super::queue::Turn;

/// How long the writer may take: a disk that stalls for longer is no moment to hand over.
const PATIENCE: Duration = Duration::from_secs(10);
/// Before a writer that failed is asked again.
const RETRY: Duration = Duration::from_secs(1);

/// Why a store stays with this process.
#[derive(Debug, Error)]
pub enum GiveUpError {
    #[error("the trace store is not open: it can't be handed over, only stopped")]
    NotOpen,
    #[error("{dir}: no file for the records that are still to come: {error}")]
    NoFile { dir: PathBuf, error: io::Error },
    #[error("the trace store can't be written at present")]
    NotWritten,
}

impl Store {
    /// Gives the directory away: what was handed in is in the journal, index and lock are free, and what is still to come goes into a
    /// file that the next owner takes in. Takes as long as the index needs to catch up, a second or two at most; records are taken all
    /// the while.
    ///
    /// # Errors
    /// Nothing has changed: the store can't be written.
    pub fn give_up(&self) -> Result<(), GiveUpError> {
        let live = self.inner.opening.live().ok_or(GiveUpError::NotOpen)?;
        let dir = live.options.dir.clone();
        let from = live.end().unwrap_or_else(|| self.beginning());
        let drain = Drain::begin(&dir, from, self.inner.intake.salt).map_err(|error| GiveUpError::NoFile { dir, error })?;
        // What they add must not end up in the file: whoever takes that in may take in the same from elsewhere.
        live.end_tending();
        if !self.has_writer_turn_to(drain) {
            live.tend_again(&self.inner.intake);
            return Err(GiveUpError::NotWritten);
        }
        drop(live);
        self.inner.opening.release();
        Ok(())
    }

    /// Takes a store back that was given up and that nobody took.
    ///
    /// # Errors
    /// Another process has it, or its files can't be read: records go on into this process's own file.
    pub fn take_back(&self) -> Result<(), OpenError> {
        let intake = &self.inner.intake;
        let live = self.inner.opening.reopen(intake)?;
        loop {
            let (done, told) = sync_channel(1);
            intake.queue.turn(Turn { to: None, done });
            if told.recv().is_ok() {
                break;
            }
            // The batch before could not be written.
            if intake.queue.pause(RETRY) {
                // The process ends, and has nobody else who would.
                self.inner.opening.close();
                return Ok(());
            }
        }
        // Not before the writer has turned: what is taken in must not go where it comes from.
        live.tend(intake, Use::Serving);
        self.inner.opening.stage(intake);
        Ok(())
    }

    /// Has the writer write there from now on; whether it does.
    fn has_writer_turn_to(&self, drain: Drain) -> bool {
        let queue = &self.inner.intake.queue;
        let (done, told) = sync_channel(1);
        queue.turn(Turn { to: Some(drain), done });
        match told.recv_timeout(PATIENCE) {
            Ok(()) => true,
            Err(RecvTimeoutError::Disconnected) => false,
            Err(RecvTimeoutError::Timeout) => match queue.withdraw() {
                Some(turn) => {
                    turn.to.into_iter().for_each(|drain| drop(drain.end()));
                    false
                }
                // It is at it.
                None => told.recv().is_ok(),
            },
        }
    }
}
