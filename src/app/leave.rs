//! How a process leaves: sockets and store to a successor, if there is one; its sessions it ends itself.

use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinHandle};

use super::handover::Request;
use super::{Running, service};
use crate::store::OpenError;

/// How long sessions that are busy go on after a hand-over, before they are told to go at their next pause.
const GRACE: Duration = Duration::from_secs(5);
/// How long what is known of policies may take to be written.
const KEEPING: Duration = Duration::from_secs(5);
/// Before a store that was given up is asked for again.
const RETAKE: Duration = Duration::from_secs(1);

impl Running {
    /// Does what a successor asks for before it serves.
    pub(super) async fn answer(&mut self, request: Request) {
        match request {
            Request::Sockets(answer) => {
                let copies =
                    self.sockets.iter().map(|(name, socket)| Ok((name.clone(), socket.try_clone()?))).collect::<std::io::Result<_>>();
                match copies {
                    Ok(copies) => drop(answer.send(copies)),
                    Err(error) => tracing::error!(%error, "the listening sockets can't be passed on"),
                }
            }
            Request::GiveUp(answer) => drop(answer.send(self.give_up().await)),
            Request::Serving { .. } | Request::Gone => {}
        }
    }

    /// Leaves the store to a successor; mail is served and recorded as before.
    async fn give_up(&mut self) -> Result<(), String> {
        if self.given_up {
            return Ok(());
        }
        self.end_api().await;
        self.policies_kept().await;
        let store = self.store.clone();
        let given = tokio::task::spawn_blocking(move || store.give_up()).await;
        let given = given.map_err(|error| error.to_string()).and_then(|given| given.map_err(|error| error.to_string()));
        match &given {
            Ok(()) => self.given_up = true,
            Err(_) => self.serve_api().await,
        }
        given
    }

    /// Has what is known of other domains' policies written, unless it is being written, or a successor has the store: it may know more
    /// by now.
    pub(super) fn keep_policies(&mut self) {
        if !self.given_up && self.keeping.as_ref().is_none_or(JoinHandle::is_finished) {
            self.keeping = Some(self.built.keep_policies(&self.loaded.store.dir));
        }
    }

    /// The same to its end, with all that is known now. A disk that stands still keeps neither this process nor its successor.
    pub(super) async fn policies_kept(&mut self) {
        let kept = async {
            if let Some(before) = self.keeping.take() {
                let _ = before.await;
            }
            self.keep_policies();
            if let Some(now) = self.keeping.take() {
                let _ = now.await;
            }
        };
        if tokio::time::timeout(KEEPING, kept).await.is_err() {
            tracing::warn!("the disk takes too long: what is known of other domains' MTA-STS policies may not be kept");
        }
    }

    /// The successor has gone before it served: this process needs its store again. While the disk is full, that takes until it isn't.
    pub(super) fn take_back(&self) -> JoinHandle<Result<(), OpenError>> {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || store.take_back())
    }

    /// What has come of it. When to try again, if it failed.
    pub(super) async fn taken_back(&mut self, taken: Result<Result<(), OpenError>, JoinError>) -> Option<Instant> {
        match taken {
            Ok(Ok(())) => {
                tracing::info!("the trace store is this process's again");
                self.given_up = false;
                self.serve_api().await;
                None
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the trace store can't be had back at present; what is recorded waits in a file of its own");
                Some(Instant::now() + RETAKE)
            }
            Err(error) => {
                tracing::error!(%error, "the trace store can't be had back");
                None
            }
        }
    }

    /// Ends after a hand-over. Who is busy may go on for a moment: a client that sends one message and goes notices nothing.
    pub(super) async fn leave(mut self, pid: u32) {
        self.telemetry.draining();
        self.close_door();
        tracing::info!(pid, sessions = self.present(), "handed over: another process takes the connections from now on");
        service::handed_over(pid);
        self.life.handed_over(&self.store, pid);
        self.stop_accepting().await;
        let until = Instant::now() + GRACE;
        while self.present() > 0 && Instant::now() < until {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
                _ = self.signals.terminate.recv() => break,
                _ = self.signals.interrupt.recv() => break,
            }
        }
        self.drain().await;
    }

    /// Connections that wait in the sockets are for whoever else has them; if nobody has, they are refused.
    pub(super) async fn stop_accepting(&mut self) {
        for worker in &self.workers {
            worker.stop_accepting().await;
        }
        self.sockets.clear();
    }

    /// No other process is heard any more; one that waits for an answer gets none.
    pub(super) fn close_door(&mut self) {
        self.requests.close();
        while self.requests.try_recv().is_ok() {}
    }
}
