//! Sending limits that the administrator wants kept: who has used theirs up is told by others; here the next message is put off.

use std::sync::Arc;

use super::machine::Machine;
use super::options::UpstreamOptions;
use super::replies::OwnReply;
use crate::trace::WallMicros;

/// A quota that is used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exhausted {
    /// Name of the upstream in the configuration.
    pub upstream: String,
    /// The AUTH user at the upstream it is for; absent: everybody's mail to that upstream.
    pub user: Option<String>,
    /// The reverse-path it is for; absent: whoever sends.
    pub sender: Option<String>,
    pub until: WallMicros,
    /// For the client, in one clause: "10,000 messages in 24 hours to \"main\" are used up until 15:40 UTC".
    pub reason: String,
}

impl Machine {
    /// Says which quotas are used up, be it none any more. To be called before octets are passed in.
    pub fn set_exhausted(&mut self, exhausted: &Arc<Vec<Exhausted>>) {
        let is_news = self.exhausted.as_ref().map_or(!exhausted.is_empty(), |known| !Arc::ptr_eq(known, exhausted));
        if is_news {
            self.exhausted = Some(exhausted.clone());
        }
    }

    /// Why a message from `reverse_path` that goes to that upstream now has to wait, if it has to.
    pub(super) fn over_quota(&self, now: u64, upstream: &UpstreamOptions, reverse_path: &str) -> Option<OwnReply> {
        let exhausted = self.exhausted.as_deref()?;
        let wall = self.recorder.wall(now);
        // The upstream counts for whoever logged in there: where that is the proxy, it hears of no other.
        let user = upstream.auth.as_ref().map(|auth| auth.user.as_str()).or(self.recorder.client_user());
        let counts = |it: &&Exhausted| {
            it.until > wall
                && it.upstream == upstream.name
                && it.user.as_deref().is_none_or(|of| user.is_some_and(|user| user.eq_ignore_ascii_case(of)))
                && it.sender.as_deref().is_none_or(|of| reverse_path.eq_ignore_ascii_case(of))
        };
        let over = exhausted.iter().find(counts)?;
        Some(OwnReply::new(451, (4, 7, 1), format!("sending limit: {}", over.reason), self.recorder.trace_id()))
    }
}
