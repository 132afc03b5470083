//! Serves the API on `api.sock` and, if configured, on a loopback address, for as long as the process lives.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{HttpOptions, MetricsAccess};
use crate::diagnose::Diagnosing;
use crate::doctor::examine::Doctor;
use crate::export::Handle;
use crate::http::{
    Api, Dns, Guard, Practice, Running, ServeError, Token, bind_tcp, bind_unix, local_router, router, serve_tcp, serve_unix,
};
use crate::metrics::Sources;
use crate::path::StoreTraces;
use crate::store::Store;

/// How long to wait before a socket that can't be bound is tried again: a store's disk may come back.
const RETRY: Duration = Duration::from_secs(5);

/// Whom answers ask beside the store.
pub(super) struct Asks {
    pub dns: watch::Receiver<Option<Dns>>,
    pub diagnosing: watch::Receiver<Diagnosing>,
    pub doctor: watch::Receiver<Doctor>,
    pub running: watch::Receiver<Running>,
    pub exports: watch::Receiver<Vec<Handle>>,
    pub telemetry: Sources,
}

/// The sockets that are served.
pub(super) struct Serving {
    ending: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Serving {
    /// Starts both, and binds them before it returns; what can't be had is said and tried again, and never keeps mail waiting.
    pub async fn start(store: &Store, asks: Asks, dir: PathBuf, http: &HttpOptions) -> Self {
        let ending = watch::Sender::new(false);
        let Asks { dns, diagnosing, doctor, running, exports, telemetry } = asks;
        let api = Api::new(StoreTraces::new(store.clone(), true), ending.subscribe());
        let api = api
            .with_dns(dns)
            .with_diagnosing(diagnosing)
            .with_doctor(Practice::new(doctor))
            .with_running(running)
            .with_exports(exports)
            .with_telemetry(telemetry);
        let mut tasks = JoinSet::new();
        let first = bind_unix(&dir).await;
        tasks.spawn(serve_local(first, api.clone(), dir.clone(), ending.subscribe()));
        if let Some(address) = http.listen {
            let first = bind_address(&dir, address).await;
            tasks.spawn(serve_address(first, api, dir, address, http.metrics, ending.subscribe()));
        }
        Self { ending, tasks }
    }

    /// Lets the sockets go, for another process or for good.
    pub async fn end(mut self) {
        self.ending.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// The error that the log has: tried every few seconds, it is said once, and again when it is another.
#[derive(Debug, Default)]
struct Told(String);

impl Told {
    fn is_news(&mut self, error: &str) -> bool {
        let is_news = self.0 != error;
        if is_news {
            error.clone_into(&mut self.0);
        }
        is_news
    }
}

async fn serve_local(mut bound: Result<UnixListener, ServeError>, api: Api, dir: PathBuf, mut ending: watch::Receiver<bool>) {
    let router = local_router(api);
    let mut told = Told::default();
    loop {
        match bound {
            Ok(listener) => return serve_unix(listener, router, ending).await,
            Err(error) if told.is_news(&error.to_string()) => {
                tracing::error!(%error, "the commands can't reach this process until its socket can be made");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            _ = ending.wait_for(|ending| *ending) => return,
        }
        bound = bind_unix(&dir).await;
    }
}

async fn bind_address(dir: &Path, address: SocketAddr) -> Result<(TcpListener, Token), String> {
    match Token::of_store(dir) {
        Ok(token) => bind_tcp(address).await.map(|listener| (listener, token)).map_err(|error| error.to_string()),
        Err(error) => Err(format!("its token: {error}")),
    }
}

async fn serve_address(
    mut bound: Result<(TcpListener, Token), String>,
    api: Api,
    dir: PathBuf,
    address: SocketAddr,
    metrics: MetricsAccess,
    mut ending: watch::Receiver<bool>,
) {
    let mut told = Told::default();
    loop {
        match bound {
            Ok((listener, token)) => {
                let guard = Guard::new(Some(token)).with_open_metrics(metrics == MetricsAccess::Open);
                return serve_tcp(listener, router(api), guard, ending).await;
            }
            Err(error) if told.is_news(&error) => tracing::error!(error, "no HTTP API over TCP until that is mended"),
            Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            _ = ending.wait_for(|ending| *ending) => return,
        }
        bound = bind_address(&dir, address).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_once_and_again_when_it_is_another() {
        let mut told = Told::default();
        let news = ["no space left", "no space left", "too short", "too short", "no space left"].map(|error| told.is_news(error));
        assert_eq!(news, [true, false, true, false, true]);
    }
}
