//! The API as the application holds it: one thread of its own, away from those that carry mail.

use std::net::SocketAddr;
use std::path::Path;
use std::thread::JoinHandle;

use axum::Router;
use thiserror::Error;
use tokio::sync::watch;

use super::api::{Api, router};
use super::guard::Guard;
use super::serve::{self, ServeError};
use super::token::{Token, TokenError};
use crate::path::StoreTraces;
use crate::store::Store;

/// Where else than on `api.sock` the API is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tcp {
    /// A loopback address.
    pub address: SocketAddr,
    /// Ask for the token in the store's `api.token`, which is made if missing.
    pub token: bool,
}

#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("the operating system refuses a thread for the API: {0}")]
    Thread(#[source] std::io::Error),
}

/// A running API. It ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    ending: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    tcp: Option<SocketAddr>,
}

impl Server {
    /// Binds `api.sock` in the store's directory and, if wanted, a loopback address; then serves both.
    ///
    /// # Errors
    /// What can't be bound or read; mail doesn't depend on it, so the application may go on without.
    pub fn start(dir: &Path, store: Store, tcp: Option<Tcp>) -> Result<Self, StartError> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(8).build().map_err(StartError::Thread)?;
        let (ending, ends) = watch::channel(false);
        let (unix, tcp) = runtime.block_on(async {
            let unix = serve::bind_unix(dir).await?;
            let tcp = match tcp {
                None => None,
                Some(Tcp { address, token }) => {
                    let token = if token { Some(Token::of_store(dir)?) } else { None };
                    Some((serve::bind_tcp(address).await?, Guard::new(token)))
                }
            };
            Ok::<_, StartError>((unix, tcp))
        })?;
        let address = tcp.as_ref().and_then(|(listener, _)| listener.local_addr().ok());
        let router: Router = router(Api::new(StoreTraces::new(store, true), ends.clone()));
        let thread = std::thread::Builder::new().name("http".to_owned()).spawn(move || {
            runtime.block_on(async {
                let over_tcp = async {
                    if let Some((listener, guard)) = tcp {
                        serve::serve_tcp(listener, router.clone(), guard, ends.clone()).await;
                    }
                };
                tokio::join!(serve::serve_unix(unix, router.clone(), ends.clone()), over_tcp);
            });
            // Questions under way may hold the store: they are given a moment, not more.
            runtime.shutdown_timeout(std::time::Duration::from_secs(2));
        });
        Ok(Self { ending, thread: Some(thread.map_err(StartError::Thread)?), tcp: address })
    }

    /// The loopback address that is served.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ending.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the API's thread panicked");
        }
    }
}
