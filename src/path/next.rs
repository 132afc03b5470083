//! What to do next, as far as it follows from state, stage and actor. Causes are not guessed here.

use super::answer::{Hop, MessagePath};
use super::clock::Clock;
use super::words;
use crate::trace::{Actor, Stage, State};

/// Steps for the admin, the most useful first.
pub fn next(path: &MessagePath, clock: &Clock) -> Vec<String> {
    let mut steps = Vec::new();
    for state in [State::Unknown, State::Rejected, State::Aborted, State::Deferred, State::Accepted] {
        // The newest attempt that left somebody in this state speaks for it.
        let hop = match path.recipients.iter().filter(|fate| fate.state.0 == state).map(|fate| fate.hop).max() {
            Some(id) => path.hops.iter().find(|hop| hop.id == id),
            None if path.recipients.is_empty() => path.hops.last().filter(|hop| hop.state.0 == state),
            None => None,
        };
        if let Some(hop) = hop {
            steps.push(step(path, hop, state, clock));
        }
    }
    let stopped = path.hops.iter().rev().find(|hop| hop.state.0 != State::Accepted);
    let decisive = if path.state.0 == State::Accepted { path.hops.last() } else { stopped.or(path.hops.last()) };
    if let Some(hop) = decisive {
        steps.push(format!("The whole dialogue: relayscope show {}", hop.id));
    }
    steps
}

fn step(path: &MessagePath, hop: &Hop, state: State, clock: &Clock) -> String {
    let upstream = words::upstream(hop);
    let client = words::client(hop);
    let moment = clock.moment(hop.until);
    let there = match &hop.client.queue_id {
        Some(id) => format!("{client} (its queue id: {id})"),
        None => client.clone(),
    };
    match state {
        State::Accepted | State::Partial => match &hop.upstream_queue_id {
            Some(id) => format!("Ask the admin of {upstream} for queue id {id}, {moment}: its log says where it went from there."),
            None => {
                format!("Ask the admin of {upstream} for a message from {} at {moment}: no queue id came with its reply.", sender(path))
            }
        },
        State::Unknown => {
            let what = match &path.message_id {
                Some(id) => format!("Message-ID <{id}>"),
                None => format!("a message from {}", sender(path)),
            };
            format!("Ask the admin of {upstream} for {what} at {moment}. If it is there, stop the retry at {there}, or there will be two.")
        }
        State::Rejected if hop.by.0 == Actor::Proxy => {
            format!(
                "Relayscope itself refused it: see the reply, and `relayscope config show` for the rule or limit it names.{}",
                bounce(path, &client)
            )
        }
        State::Rejected => {
            format!(
                "A 5xx is final: {client} does not try again.{} To send it again, first settle what the reply names.",
                bounce(path, "It")
            )
        }
        State::Deferred if hop.by.0 == Actor::Proxy && !hop.upstream.tried.is_empty() => {
            format!("Nothing is lost: it waits at {there}. {}", tried(hop))
        }
        State::Deferred => format!("Nothing is lost: it waits at {there}, whose queue says when it tries next."),
        State::Aborted if hop.by.0 == Actor::Client => {
            format!("See the log of {there} at {moment} for why it gave up; most servers keep the message and try again.")
        }
        State::Aborted if hop.stage.0 == Stage::Body => {
            format!("Nothing is lost: {there} was told to try again, and keeps it. See the log of {upstream} at {moment} for its side.")
        }
        State::Aborted => format!("Nothing is lost: it waits at {there}, which tries again."),
    }
}

fn sender(path: &MessagePath) -> String {
    if path.from.is_empty() { "<> (the null sender)".to_owned() } else { path.from.clone() }
}

fn bounce(path: &MessagePath, client: &str) -> String {
    if path.from.is_empty() {
        " Its sender is <>, so nobody gets a bounce.".to_owned()
    } else {
        format!(" {client} is to tell {} with a bounce.", path.from)
    }
}

fn tried(hop: &Hop) -> String {
    let hosts: Vec<String> = hop.upstream.tried.iter().map(|tried| format!("{}:{} ({})", tried.host, tried.port, tried.error)).collect();
    format!("No smart host could be used: {}.", words::list(&hosts))
}
