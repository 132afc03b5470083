//! Sockets, and the limits under which they are served.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

use super::guard::Guard;
use super::patient::Patient;

/// In the store's directory.
pub const SOCKET: &str = "api.sock";
/// Connections at once, each socket; further ones wait.
const CONNECTIONS: usize = 64;
/// Octets of a request's head.
const HEAD: usize = 16 << 10;
/// A request's head comes within this time, or the connection is closed.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// A peer that reads nothing of its answer for so long is given up.
const UNREAD: Duration = Duration::from_secs(30);
/// What answers under way have at the end of the process.
const FAREWELL: Duration = Duration::from_secs(2);
/// Pause after a failed accept: descriptors may have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, Error)]
pub enum ServeError {
    #[error("{path}: another process answers there: is a proxy running on this store?")]
    InUse { path: PathBuf },
    #[error("{path}: {error}")]
    Socket { path: PathBuf, error: io::Error },
    #[error("{path}: it is no socket, and is left alone: move it away")]
    NoSocket { path: PathBuf },
    #[error("{address}: only loopback addresses are served without TLS: use 127.0.0.1 or [::1]")]
    NotLoopback { address: SocketAddr },
    #[error("{address}: {error}")]
    Tcp { address: SocketAddr, error: io::Error },
}

/// Binds `api.sock` in the store's directory, mode 0660; one that a dead process left is replaced.
///
/// # Errors
/// A living process answers there, or the socket can't be made.
pub async fn bind_unix(dir: &Path) -> Result<UnixListener, ServeError> {
    let path = dir.join(SOCKET);
    let refuse = |error| ServeError::Socket { path: path.clone(), error };
    match std::fs::symlink_metadata(&path) {
        Ok(found) if !found.file_type().is_socket() => return Err(ServeError::NoSocket { path }),
        Ok(_) => {
            if UnixStream::connect(&path).await.is_ok() {
                return Err(ServeError::InUse { path });
            }
            std::fs::remove_file(&path).map_err(refuse)?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(refuse(error)),
    }
    // Bound under another name until its mode is right: nobody gets in between.
    let fresh = dir.join(format!("{SOCKET}.new"));
    let _ = std::fs::remove_file(&fresh);
    let listener = UnixListener::bind(&fresh).map_err(refuse)?;
    std::fs::set_permissions(&fresh, PermissionsExt::from_mode(0o660)).map_err(refuse)?;
    std::fs::rename(&fresh, &path).map_err(refuse)?;
    Ok(listener)
}

/// Binds a loopback address.
///
/// # Errors
/// The address isn't loopback, or can't be bound.
pub async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, ServeError> {
    if !address.ip().is_loopback() {
        return Err(ServeError::NotLoopback { address });
    }
    TcpListener::bind(address).await.map_err(|error| ServeError::Tcp { address, error })
}

/// Serves `api.sock` until `ending` turns true. Who may open it is a matter of its mode.
pub async fn serve_unix(listener: UnixListener, router: Router, ending: watch::Receiver<bool>) {
    serve(|cx: &mut Context<'_>| listener.poll_accept(cx).map_ok(|(stream, _)| stream), router, ending).await;
}

/// Serves a loopback address behind a guard until `ending` turns true.
pub async fn serve_tcp(listener: TcpListener, router: Router, guard: Guard, ending: watch::Receiver<bool>) {
    let accept = |cx: &mut Context<'_>| {
        listener.poll_accept(cx).map(|accepted| {
            let (stream, _) = accepted?;
            stream.set_nodelay(true)?;
            Ok(stream)
        })
    };
    serve(accept, guard.before(router), ending).await;
}

async fn serve<S, A>(accept: A, router: Router, mut ending: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(&mut Context<'_>) -> Poll<io::Result<S>>,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            () = ended(&mut ending) => return,
        };
        let Ok(place) = place else { return };
        let stream = tokio::select! {
            stream = std::future::poll_fn(&accept) => stream,
            () = ended(&mut ending) => return,
        };
        match stream {
            Ok(stream) => {
                let (router, ending) = (router.clone(), ending.clone());
                tokio::spawn(async move {
                    connection(stream, router, ending).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the API could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Returns when the process ends.
pub(super) async fn ended(ending: &mut watch::Receiver<bool>) {
    // An error means that whoever could say it has gone: the end as well.
    let _ = ending.wait_for(|ending| *ending).await;
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, router: Router, mut ending: watch::Receiver<bool>) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_WAIT).max_buf_size(HEAD);
    let stream = TokioIo::new(Patient::new(stream, UNREAD));
    let mut connection = std::pin::pin!(builder.serve_connection(stream, TowerToHyperService::new(router)));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = ended(&mut ending) => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(FAREWELL, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the API broke");
    }
}
