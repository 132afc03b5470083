//! How what the fields of a delivery status say, and what the text says of the same recipients, become one.

use super::delivery::{fill, told_status};
use super::{Action, Reported, address, bounded, reply};

/// Adds to the fields of a delivery status what only the text says.
pub fn complete(recipients: &mut [Reported], told: &[Reported]) {
    let alone = recipients.len() == 1 && told.len() == 1;
    // What the text quotes of a failure isn't about those who were reached.
    let reached = |it: &Reported| matches!(it.action, Action::Delivered | Action::Relayed | Action::Expanded);
    for recipient in recipients.iter_mut().filter(|it| !reached(it)) {
        let same = told.iter().find(|it| {
            alone
                || address::same(&it.address, &recipient.address)
                || recipient.original.as_ref().is_some_and(|original| address::same(&it.address, original))
        });
        let Some(same) = same else { continue };
        tell_command(recipient, same);
        let says_more = same.reply_code.is_some() || same.status.is_some();
        let is_bare = recipient.reply_code.is_none() && recipient.text.as_deref().is_none_or(|it| it.len() < 60);
        let is_expired = recipient.status.is_some_and(reply::is_expiry);
        if recipient.text.is_none() || ((is_bare || is_expired) && says_more) {
            let status = told_status(recipient.status, same);
            let text = if says_more { same.text.clone().or(recipient.text.take()) } else { recipient.text.take().or(same.text.clone()) };
            fill(recipient, same.clone());
            (recipient.status, recipient.text) = (status, text);
        }
    }
}

/// Sendmail's field has a reply's first line alone; the dialogue has the others.
pub fn continue_text(recipient: &mut Reported, dialogue: &str) {
    let Some(text) = recipient.text.as_mut().filter(|it| it.as_bytes().get(3) == Some(&b'-') && !it.contains("(in reply to ")) else {
        return;
    };
    let Some(all) = dialogue.find(text.as_str()).and_then(|at| dialogue.get(at..)) else { return };
    // Sendmail's own words about it follow.
    let end = [" 554 5.0.0 ", " 503 5.0.0 ", " 503 5.5"].iter().filter_map(|own| all.find(own)).min().unwrap_or(all.len());
    *text = all.get(..end).unwrap_or(all).to_owned();
}

/// Postfix says only in its text which command the reply was for, and what a program printed of why.
fn tell_command(recipient: &mut Reported, told: &Reported) {
    const COMMAND: &str = "(in reply to ";
    let (Some(text), Some(told)) = (recipient.text.as_mut(), told.text.as_deref()) else { return };
    if text.contains(COMMAND) {
        return;
    }
    if let Some(at) = told.rfind(COMMAND) {
        text.push(' ');
        text.push_str(told.get(at..).unwrap_or_default());
        *text = bounded(text).unwrap_or_default();
    } else if recipient.reply_code.is_none() && told.len() > text.len() && told.contains(text.as_str()) {
        *text = told.to_owned();
    }
}
