//! Messages that are on their way while the question is asked: there is no record of them so far.

use std::collections::BTreeSet;

use super::answer::UnderWay;
use super::clock::{Clock, octets, span};
use super::fate::{hop_client, hop_upstream};
use super::find::Traces;
use super::{What, words};
use crate::trace::json::{Id, Time};
use crate::trace::{Mark, State, WallMicros};

/// Of more, the newest.
const MOST: usize = 20;

/// What is on its way and may be meant, newest first.
///
/// # Errors
/// What the traces' own reading fails with.
pub fn look<T: Traces>(traces: &T, what: &What, now: WallMicros) -> Result<Vec<UnderWay>, T::Error> {
    let mut found = Vec::new();
    let mut known = BTreeSet::new();
    // How a message ended can't be asked of one that hasn't.
    if what.path_state().is_none() && traces.is_running() {
        for reading in what.readings() {
            let marks = traces.under_way(&reading.query)?;
            found.extend(marks.iter().filter(|mark| known.insert(mark.id)).map(|mark| told(mark, now)));
        }
    }
    found.sort_by_key(|it: &UnderWay| std::cmp::Reverse(it.at.0));
    found.truncate(MOST);
    Ok(found)
}

fn told(mark: &Mark, now: WallMicros) -> UnderWay {
    let message = mark.message.as_deref();
    let taken = mark.envelope.recipients.iter().filter(|recipient| recipient.state == State::Accepted);
    let mut it = UnderWay {
        id: Id(mark.id),
        session_id: Id(mark.session_id),
        verdict: String::new(),
        at: Time(mark.at),
        age_us: now.saturating_sub(mark.at),
        listener: mark.listener.clone(),
        client: hop_client(&mark.client, message.and_then(|message| message.client_queue_id.clone())),
        upstream: hop_upstream(&mark.upstream),
        reverse_path: mark.envelope.reverse_path.clone(),
        recipients: taken.map(|recipient| recipient.address.clone()).collect(),
        recipients_cut: mark.envelope.recipients_cut,
        whole: message.is_some(),
        message_id: message.and_then(|message| message.message_id.clone()),
        subject: message.and_then(|message| message.subject.clone()),
        size: message.map(|message| message.size),
    };
    it.verdict = verdict(&it, &Clock::utc());
    it
}

/// "Under way: the whole message (1,234 octets) went to smtp.example.net, and no reply has come; MAIL FROM was at 10:02:11, 1 min 35 s ago; …"
pub fn verdict(it: &UnderWay, clock: &Clock) -> String {
    let upstream = words::upstream_of(&it.upstream);
    let client = words::client_of(&it.client);
    let (what, then) = match it.size {
        Some(size) => (
            format!("the whole message ({}) went to {upstream}, and its reply is awaited", octets(size)),
            format!("{client} keeps the message until that reply comes; if that takes long, the log of {upstream} knows why"),
        ),
        None => (format!("the message's text is on its way to {upstream}"), format!("{client} keeps the message until a reply comes")),
    };
    let recipients = match (it.recipients.as_slice(), it.recipients_cut) {
        ([only], 0) => format!("recipient {only}"),
        (some, 0) => format!("recipients {}", words::list(some)),
        (some, cut) => format!("recipients {}, and {cut} more", words::list(some)),
    };
    let began = format!("MAIL FROM came at {}, {} ago", clock.moment(it.at), span(it.age_us));
    format!("Under way: {what}; {began}; {recipients}. {then}.")
}
