//! Takes connections off a listening socket and gives each its session.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::context::{Context, NoPlace, Phase};
use super::session;

/// Serves a listening socket until the returned future is dropped. Sessions go on as tasks of their own.
///
/// `current` gives the context for each new session, so that a reload reaches the next one.
pub async fn serve(listener: TcpListener, current: impl Fn() -> Arc<Context>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let context = current();
                let limits = &context.options.limits;
                let place = context.counters.enter(peer.ip(), limits.sessions, limits.sessions_per_client);
                let refusal = match &place {
                    // Between the word to drain and the end of listening: no new session, and no upstream connection for it.
                    _ if context.roster.phase() != Phase::Serve => Some((421, "shutting down, connect again later")),
                    _ if !is_allowed(&context, peer.ip()) => Some((554, "this client is not allowed to send mail here")),
                    Err(NoPlace::Full) => Some((421, "too many sessions are open, try again later")),
                    Err(NoPlace::FullForClient) => Some((421, "too many sessions from this client are open, try again later")),
                    Ok(_) => None,
                };
                tokio::spawn(session::run(context, stream, peer, place.ok(), refusal));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Out of descriptors or memory: sessions that end will make room.
                tracing::error!(%error, "can't accept connections; trying again");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn is_allowed(context: &Context, client: std::net::IpAddr) -> bool {
    let client = client.to_canonical();
    context.options.listener.allow.iter().any(|network| network.contains(&client))
}

/// The connection was gone before it was taken.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
