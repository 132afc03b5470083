//! Who tried to log in, where, and what came of it: once for each session.

use std::net::IpAddr;

use crate::anomaly::seen::Seen;
use crate::diagnose::{Facts, Rules};
use crate::trace::{Auth, Cause, Direction, Reply, Stage};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    Succeeded,
    /// By the upstream.
    Failed,
    /// By the proxy, which doesn't carry AUTH there.
    Refused,
    Cancelled,
}

/// A login of one leg.
#[derive(Debug, Clone, Copy)]
pub struct Login<'a> {
    pub upstream: &'a str,
    /// Empty where the mechanism doesn't show it.
    pub user: &'a str,
    pub mechanism: &'a str,
    pub came: Came,
    pub reply: Option<&'a Reply>,
    pub client: IpAddr,
    pub direction: Direction,
}

/// The client's login, if this record is the first to tell of it.
pub fn of_client<'a>(seen: &Seen<'a>) -> Option<Login<'a>> {
    let auth = seen.client?.auth.as_ref()?;
    login(seen, auth)
}

/// The proxy's own.
pub fn of_proxy<'a>(seen: &Seen<'a>) -> Option<Login<'a>> {
    let auth = seen.upstream?.auth.as_ref()?;
    login(seen, auth)
}

fn login<'a>(seen: &Seen<'a>, auth: &'a Auth) -> Option<Login<'a>> {
    let first = seen.transaction.is_some_and(|it| it.transaction_no <= 1) || seen.session.is_some_and(|it| it.transactions == 0);
    if !first || seen.is_synthetic() {
        return None;
    }
    let came = match auth.outcome.as_str() {
        "succeeded" => Came::Succeeded,
        "failed" => Came::Failed,
        "refused" => Came::Refused,
        _ => Came::Cancelled,
    };
    Some(Login {
        upstream: seen.upstream_name().unwrap_or_default(),
        user: auth.user.as_deref().unwrap_or_default(),
        mechanism: &auth.mechanism,
        came,
        reply: auth.reply.as_ref(),
        client: seen.client_ip()?,
        direction: seen.direction()?,
    })
}

impl Login<'_> {
    /// Why it was refused, by the rules. Asked for failures only.
    pub fn cause(&self) -> Cause {
        let Some(reply) = self.reply else { return Cause::AuthFailed };
        let text = reply.lines.join("\n");
        let facts = Facts { stage: Some(Stage::Auth), code: Some(reply.code), enhanced: reply.enhanced, text: &text, ..Facts::default() };
        match Rules::builtin().classify(&facts).cause {
            Cause::Unclassified => Cause::AuthFailed,
            cause => cause,
        }
    }

    pub fn words(&self) -> String {
        self.reply.map_or_else(String::new, |reply| format!("{} {}", reply.code, crate::wording::quoted(&reply.lines)))
    }
}
