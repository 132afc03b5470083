//! Finds the hosts that a session or a message may go to, in the order to try.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::context::Context;
use super::health::Turn;
use super::mx;
use crate::relay::options::{SUBMISSIONS, UpstreamOptions, UpstreamTls};
use crate::relay::{Found, NextHop, NotFound};
use crate::trace::UpstreamKind;

/// The hosts that are known before a recipient is: of the upstream's list, those that failed lately last, or where the client had meant to go.
pub(super) fn listed(context: &Context, upstream: &UpstreamOptions, destination: Option<SocketAddr>) -> Vec<NextHop> {
    if upstream.kind == UpstreamKind::OriginalDestination {
        let hop = |it: SocketAddr| {
            let tls =
                if it.port() == SUBMISSIONS && upstream.tls == UpstreamTls::Opportunistic { UpstreamTls::Implicit } else { upstream.tls };
            NextHop { choice: Some("where the client had connected to".to_owned()), ..NextHop::new(it.ip().to_string(), it.port(), tls) }
        };
        return destination.into_iter().map(hop).collect();
    }
    let Some(reach) = context.reach(&upstream.name) else { return Vec::new() };
    let hop = |turn: Turn| {
        let Turn { place, circuit, proven, serves, choice } = turn;
        Some(NextHop { choice, circuit: Some(circuit), proven, serves, ..at(upstream, place)? })
    };
    reach.health.order(Instant::now()).into_iter().filter_map(hop).collect()
}

/// The host at a place of an upstream's list.
pub(super) fn at(upstream: &UpstreamOptions, place: usize) -> Option<NextHop> {
    let host = upstream.hosts.get(place)?;
    Some(NextHop { place: Some(place), ..NextHop::new(&host.host, host.port, host.tls) })
}

/// Answers [`crate::relay::Action::FindHosts`].
pub(super) async fn find(
    context: Arc<Context>,
    upstream: Arc<UpstreamOptions>,
    domain: Option<String>,
    destination: Option<SocketAddr>,
    began: Instant,
) -> Result<Found, NotFound> {
    match upstream.kind {
        UpstreamKind::SmartHost | UpstreamKind::Fixed | UpstreamKind::OriginalDestination => {
            Ok(Found { hops: listed(&context, &upstream, destination), ..Found::default() })
        }
        UpstreamKind::Mx => mx::exchangers(&context, &upstream, &domain.unwrap_or_default(), began).await,
    }
}
