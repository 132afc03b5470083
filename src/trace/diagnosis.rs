//! The diagnosis of a record: why a message was not accepted, who must act, and what to do.

use std::borrow::Cow;
use std::fmt::Write;

use super::kinds::{Actor, Flag, LogEvent, Stage, State, UpstreamKind};
use super::record::{
    AmendedRecipient, Amendment, Log, Outcome, Recipient, Record, Reply, Report, Reported, Session, Transaction, Tried, Upstream,
    WallMicros,
};
use super::{RecordId, kinds};
use crate::diagnose::{Act, Cause, Facts, Rules, Verdict};

/// The port that mail servers speak to each other on, and that providers close.
const SMTP_PORT: u16 = 25;

/// Fills in what the rules say of a record. Nothing is said of what was accepted, or of a client that thought better of it.
pub fn diagnose(record: &mut Record, rules: &Rules) {
    match record {
        Record::Transaction(it) => transaction(it, rules),
        Record::Session(it) => session(it, rules),
        Record::Log(it) => log(it, rules),
        Record::Amendment(_) | Record::Gap(_) | Record::Mark(_) | Record::Audit(_) | Record::Incident(_) => {}
    }
}

/// What a record says otherwise than it did, as an amendment to it; `None` if nothing.
pub fn amendment(before: &Record, after: &Record, id: RecordId, at: WallMicros) -> Option<Amendment> {
    let (old, new) = before.outcome().zip(after.outcome())?;
    let (mut recipients, mut reported) = (Vec::new(), Vec::new());
    if let (Record::Transaction(before), Record::Transaction(after)) = (before, after) {
        let pairs = before.envelope.recipients.iter().zip(&after.envelope.recipients);
        for (place, (old, new)) in
            pairs.enumerate().filter(|(_, (old, new))| (old.cause, old.act, &old.rule) != (new.cause, new.act, &new.rule))
        {
            let _ = old;
            recipients.push(amended(place, new.cause, new.act, &new.rule));
        }
        let reports =
            before.message.report.iter().flat_map(|it| &it.recipients).zip(after.message.report.iter().flat_map(|it| &it.recipients));
        for (place, (old, new)) in reports.enumerate() {
            if (old.cause, old.act, &old.rule) != (new.cause, new.act, &new.rule) {
                reported.push(amended(place, new.cause, new.act, &new.rule));
            }
        }
    }
    let said = |it: &Outcome| (it.cause, it.act, it.rule.clone(), it.advice.clone(), it.provider.clone());
    let changed = said(old) != said(new) || !recipients.is_empty() || !reported.is_empty();
    changed.then(|| Amendment { id, of: after.id(), at, outcome: new.clone(), flags: Vec::new(), recipients, reported })
}

fn amended(place: usize, cause: Option<Cause>, act: Option<kinds::Act>, rule: &Option<String>) -> AmendedRecipient {
    AmendedRecipient { place: u32::try_from(place).unwrap_or(u32::MAX), cause, act, rule: rule.clone() }
}

fn transaction(it: &mut Transaction, rules: &Rules) {
    if let Some(report) = &mut it.message.report {
        self::report(report, rules);
    }
    if it.outcome.state == State::Accepted {
        return;
    }
    let upstream = &**it.upstream;
    let whole = verdict_of(&it.outcome, upstream, &it.flags, rules);
    let mut first = None;
    for recipient in it.envelope.recipients.iter_mut().filter(|recipient| recipient.state != State::Accepted) {
        let own = own_reply(recipient).or_else(|| it.envelope.reply.as_ref().filter(|_| recipient.stage == Stage::MailFrom));
        let verdict = match own {
            Some(reply) if it.outcome.reply.as_ref() != Some(reply) || whole.is_none() => {
                Some(rules.classify(&facts_of(recipient.stage, recipient.by, reply, &text(reply), upstream)))
            }
            _ => whole,
        };
        let Some(verdict) = verdict.map(|verdict| by_next_hop(verdict, recipient.by, upstream)) else { continue };
        (recipient.cause, recipient.act, recipient.rule) = (Some(verdict.cause), Some(verdict.act), Some(verdict.rule.to_owned()));
        first = first.or(Some(verdict));
    }
    if let Some(verdict) = if it.outcome.state == State::Partial { first.or(whole) } else { whole.or(first) } {
        let by = it.outcome.by;
        tell(&mut it.outcome, &by_next_hop(verdict, by, upstream), rules);
    }
}

/// Nobody logs in at the mail exchanger of a domain: one that doesn't take its mail is the wrong one. And a smart host's name is the
/// configuration's.
fn by_next_hop<'r>(verdict: Verdict<'r>, by: Actor, upstream: &Upstream) -> Verdict<'r> {
    let is_own_word = !matches!(by, Actor::Upstream | Actor::Recipient);
    if is_own_word && matches!(upstream.kind, UpstreamKind::SmartHost | UpstreamKind::Fixed) {
        return verdict.of_configured_host();
    }
    if upstream.kind != UpstreamKind::Mx || verdict.cause != Cause::RelayDenied || verdict.act != Act::LocalAdmin {
        return verdict;
    }
    Verdict {
        act: Act::RecipientSide,
        advice: "The domain's MX record leads to a server that doesn't take its mail: its admin must mend the record or that server. If it was changed lately, a retry may find the right one.",
        ..verdict
    }
}

/// What was said to one recipient alone.
fn own_reply(recipient: &Recipient) -> Option<&Reply> {
    let own = matches!(recipient.stage, Stage::RcptTo | Stage::EndOfData) || recipient.by != Actor::Upstream;
    recipient.reply.as_ref().filter(|reply| own && reply.code >= 400)
}

fn session(it: &mut Session, rules: &Rules) {
    let Some(outcome) = &mut it.outcome else { return };
    let upstream = &**it.upstream;
    // A client that leaves after its login was refused leaves because of that.
    let login = [it.client.auth.as_ref(), upstream.auth.as_ref()].into_iter().flatten();
    let refused = login.filter_map(|auth| auth.reply.as_ref()).find(|reply| reply.code >= 400);
    let verdict = match refused.filter(|_| outcome.by == Actor::Client || outcome.stage == Stage::Auth) {
        Some(reply) => Some(rules.classify(&facts_of(Stage::Auth, Actor::Upstream, reply, &text(reply), upstream))),
        None => verdict_of(outcome, upstream, &it.flags, rules),
    };
    if let Some(verdict) = verdict {
        let by = outcome.by;
        tell(outcome, &by_next_hop(verdict, by, upstream), rules);
    }
}

fn log(it: &mut Log, rules: &Rules) {
    let Some(outcome) = it.outcome.as_mut().filter(|outcome| outcome.state != State::Accepted) else { return };
    let reply = outcome.reply.as_ref().or(it.reply.as_ref());
    let said = reply.map(text).or(it.detail.as_deref().or(outcome.detail.as_deref()).map(Cow::from)).unwrap_or_default();
    let facts = Facts {
        stage: Some(outcome.stage),
        code: reply.map(|reply| reply.code),
        enhanced: reply.and_then(|reply| reply.enhanced),
        text: &said,
        host: it.relay_host.as_deref().or(it.host.as_deref()),
        banner: None,
    };
    let verdict = rules.classify(&facts);
    let verdict = match verdict.cause {
        Cause::RelayDenied if it.event == LogEvent::Rejected => Verdict {
            act: Act::Nobody,
            advice: "That server refused a client that it doesn't relay for, as it should where a stranger asks. If the client is one of yours, \
                     let it log in, or put its address among the networks that the server relays for.",
            ..verdict
        },
        _ => verdict,
    };
    tell(outcome, &verdict, rules);
}

fn report(it: &mut Report, rules: &Rules) {
    let Report { recipients, reporting_mta, .. } = it;
    for recipient in recipients.iter_mut().filter(|recipient| recipient.action.is_failure()) {
        reported(recipient, reporting_mta.as_deref(), rules);
    }
}

fn reported(it: &mut Reported, reporting_mta: Option<&str>, rules: &Rules) {
    let (text, remote) = (it.text.as_deref(), it.remote_mta.as_deref());
    let verdict = rules.classify(&Facts::reported(it.reply_code, it.status, text, remote, reporting_mta));
    let provider = verdict.provider.map(str::to_owned);
    (it.cause, it.act, it.rule, it.provider) = (Some(verdict.cause), Some(verdict.act), Some(verdict.rule.to_owned()), provider);
}

/// `None`: there is nothing to diagnose.
fn verdict_of<'r>(outcome: &Outcome, upstream: &Upstream, flags: &[Flag], rules: &'r Rules) -> Option<Verdict<'r>> {
    let of_upstream = matches!(outcome.by, Actor::Upstream | Actor::Recipient);
    match &outcome.reply {
        Some(reply) if of_upstream && reply.code >= 400 => {
            let said = text(reply);
            Some(rules.classify(&facts_of(outcome.stage, outcome.by, reply, &said, upstream)))
        }
        _ if outcome.by == Actor::Client || outcome.state == State::Accepted || outcome.state == State::Partial => None,
        reply => {
            let words = own_words(outcome, upstream, flags);
            let facts = Facts {
                stage: Some(outcome.stage),
                code: reply.as_ref().map(|reply| reply.code).filter(|&code| code >= 400),
                enhanced: reply.as_ref().and_then(|reply| reply.enhanced),
                text: &words,
                host: None,
                banner: None,
            };
            Some(rules.classify(&facts))
        }
    }
}

fn facts_of<'a>(stage: Stage, by: Actor, reply: &'a Reply, text: &'a str, upstream: &'a Upstream) -> Facts<'a> {
    // What the proxy says itself is nobody else's word.
    let foreign = matches!(by, Actor::Upstream | Actor::Recipient);
    Facts {
        stage: Some(stage),
        code: Some(reply.code),
        enhanced: reply.enhanced,
        text,
        host: upstream.host.as_deref().filter(|_| foreign),
        banner: upstream.banner.as_deref().filter(|_| foreign),
    }
}

fn text(reply: &Reply) -> Cow<'_, str> {
    match reply.lines.as_slice() {
        [only] => only.into(),
        lines => lines.join("\n").into(),
    }
}

/// Where no reply says why: our own words, and what the session knows beyond them.
fn own_words(outcome: &Outcome, upstream: &Upstream, flags: &[Flag]) -> String {
    let reply = outcome.reply.as_ref().map(text);
    let mut words = match (outcome.detail.as_deref(), reply.as_deref()) {
        // What the proxy refused tells more than how the client took it.
        (Some(detail), Some(reply)) if outcome.by == Actor::Proxy => format!("{reply}\n{detail}"),
        (detail, reply) => detail.or(reply).unwrap_or_default().to_owned(),
    };
    let mut add = |more: &str| {
        let _ = write!(words, "\n{more}");
    };
    if flags.contains(&Flag::MiddleboxSuspected) {
        add("a firewall rewrites the server's EHLO reply (XXXXXXXA)");
    }
    if outcome.stage == Stage::Connect && all_timed_out(&upstream.tried) {
        add("every host timed out on port 25");
    }
    words
}

/// Several hosts, and none of them can be reached on the port of mail: it isn't they who are down.
fn all_timed_out(tried: &[Tried]) -> bool {
    tried.len() > 1 && tried.iter().all(|it| it.port == SMTP_PORT && it.stage == Stage::Connect && it.error.contains("timed out"))
}

fn tell(outcome: &mut Outcome, verdict: &Verdict<'_>, rules: &Rules) {
    outcome.cause = Some(verdict.cause);
    outcome.act = Some(verdict.act);
    outcome.advice = (!verdict.advice.is_empty()).then(|| verdict.advice.to_owned());
    outcome.rule = Some(verdict.rule.to_owned());
    outcome.rules_version = Some(rules.version().to_owned());
    outcome.provider = verdict.provider.map(str::to_owned);
}
