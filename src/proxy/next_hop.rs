//! Finds the hosts that a session or a message may go to, in the order to try.

use std::sync::Arc;
use std::time::Instant;

use super::context::Context;
use super::mx;
use crate::relay::options::UpstreamOptions;
use crate::relay::{Found, NextHop, NotFound, Refusal};
use crate::trace::{Actor, UpstreamKind};

/// The hosts of an upstream's list, those that failed lately last.
pub(super) fn listed(context: &Context, upstream: &UpstreamOptions) -> Vec<NextHop> {
    let Some(reach) = context.reach(&upstream.name) else { return Vec::new() };
    let hop = |place: usize| {
        let host = upstream.hosts.get(place)?;
        Some(NextHop { place: Some(place), ..NextHop::new(&host.host, host.port, host.tls) })
    };
    reach.health.order().into_iter().filter_map(hop).collect()
}

/// Answers [`crate::relay::Action::FindHosts`].
pub(super) async fn find(
    context: Arc<Context>,
    upstream: Arc<UpstreamOptions>,
    domain: Option<String>,
    began: Instant,
) -> Result<Found, NotFound> {
    match upstream.kind {
        UpstreamKind::SmartHost | UpstreamKind::Fixed => Ok(Found { hops: listed(&context, &upstream), ..Found::default() }),
        UpstreamKind::Mx => mx::exchangers(&context, &upstream, &domain.unwrap_or_default(), began).await,
        UpstreamKind::OriginalDestination => Err(NotFound {
            refusal: Refusal { code: 451, enhanced: (4, 3, 5) },
            by: Actor::Proxy,
            error: "this upstream has no hosts".to_owned(),
            skipped: Vec::new(),
            lookups: Vec::new(),
            dns_us: None,
        }),
    }
}
