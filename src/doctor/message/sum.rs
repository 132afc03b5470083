//! The one sentence at the end of `doctor message`.

use super::super::report::is_examined;
use super::super::{Check, Report, Section, Verdict};
use super::Stopped;
use crate::diagnose::Cause;
use crate::trace::{Stage, State};

/// Names of checks that never explain a message: they tell of the future, or of comfort.
const BESIDE: [&str; 3] = ["own.", "through.difference", "upstream.tls_versions"];

/// All reports as one, with a section that recalls the message before them and the verdict on it.
pub fn sum_up(stopped: &Stopped, reports: Vec<Report>) -> Report {
    let mut recalled = Section::new("the message");
    recalled.push(recall(stopped));
    let mut sections = vec![recalled];
    for report in reports {
        let target = report.target;
        sections.extend(report.sections.into_iter().map(|section| Section { title: format!("{target}: {}", section.title), ..section }));
    }
    let examined = is_examined(sections.get(1..).unwrap_or_default());
    let conclusion = match stopped.state {
        State::Accepted => {
            "The upstream took it: nothing stopped it here. `relayscope where` with its id tells what became of it behind.".to_owned()
        }
        _ => conclude(stopped, &sections, examined),
    };
    let verdict = sections.iter().map(Section::verdict).max().unwrap_or_default();
    Report { target: format!("message {}", stopped.id), verdict, conclusion: conclusion.trim_end().to_owned(), sections }
}

fn conclude(stopped: &Stopped, sections: &[Section], examined: bool) -> String {
    let explains = |check: &&Check| !BESIDE.iter().any(|beside| check.name.starts_with(beside)) && check.name != RECALL;
    let checks: Vec<&Check> = sections.iter().flat_map(|section| &section.checks).filter(explains).collect();
    let (marks, proofs) = stopped.cause.map_or((&[][..], &[][..]), |cause| checks_of(cause, stopped.stage));
    let is_any_of = |check: &Check, names: &[&str]| names.iter().any(|name| check.name.starts_with(name));
    let is_marked = |check: &Check| marks.is_empty() || is_any_of(check, marks);
    let find = |verdict: Verdict, marked: bool| checks.iter().find(|check| check.verdict == verdict && is_marked(check) == marked);
    let cause = stopped.cause.map_or("a cause unknown".to_owned(), |cause| cause.to_string());
    let told =
        |check: &Check| format!("{}: {}. {}", check.asked, check.answer.trim_end_matches('.'), check.fix.as_deref().unwrap_or_default());
    if let Some(check) = find(Verdict::Fail, true) {
        return format!("It would stop again: {}", told(check));
    }
    if let Some(check) = find(Verdict::Warn, true) {
        return format!("It may stop again: {}", told(check));
    }
    if !examined {
        return format!(
            "Nothing that can be examined from here explains {cause}: the message itself or its recipient decides. It was told: {}",
            stopped.words
        );
    }
    let proof = |verdict: Verdict| checks.iter().find(|check| check.verdict == verdict && is_any_of(check, proofs));
    let over = if let Some(check) = proof(Verdict::Skipped) {
        format!("Whether what stopped it ({cause}) is over can't be told: {}: {}", check.asked, check.answer.trim_end_matches('.'))
    } else if proof(Verdict::Ok).is_none() {
        let words = stopped.words.trim_end_matches('.');
        format!("These checks can't show whether what stopped it ({cause}) is over{}. It was told: {words}", untried(stopped))
    } else if matches!(stopped.state, State::Deferred | State::Unknown | State::Partial) {
        format!("What stopped it ({cause}) is not there any more: it should pass at the next attempt")
    } else {
        format!("What stopped it ({cause}) doesn't show any more: it would probably pass if it were sent again")
    };
    match find(Verdict::Fail, false) {
        Some(check) => format!("{over}. But something else is wrong: {}", told(check)),
        None => format!("{over}."),
    }
}

/// A connection that broke within a dialogue: where, if these checks don't go as far, and what does.
fn untried(stopped: &Stopped) -> String {
    let way = match stopped.stage {
        _ if stopped.cause != Some(Cause::ConnectionFailed) => return String::new(),
        Stage::MailFrom | Stage::RcptTo => "--rcpt ADDRESS",
        Stage::Data | Stage::Body | Stage::EndOfData => "--send ADDRESS",
        _ => return String::new(),
    };
    let name = stopped.upstream.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    format!(": it failed at {}, which was not tried (`relayscope doctor upstream{name} {way}` does)", stopped.stage)
}

/// What the names of checks begin with that can show a cause (empty: any may), and of those that show by their success that it is gone
/// (empty: none can).
fn checks_of(cause: Cause, stage: Stage) -> (&'static [&'static str], &'static [&'static str]) {
    let both = |names: &'static [&'static str]| (names, names);
    match cause {
        Cause::AuthRequired | Cause::AuthFailed | Cause::AuthMechanismUnsupported | Cause::AccountLocked => both(&["upstream.login"]),
        Cause::TlsFailure | Cause::EncryptionRequired => (
            &["upstream.tls", "upstream.certificate", "upstream.ehlo", "host.starttls", "host.certificate", "mta_sts.", "dane."],
            &["upstream.tls", "host.starttls"],
        ),
        Cause::ConnectionFailed if matches!(stage, Stage::MailFrom | Stage::RcptTo) => {
            (&["upstream.resolve", "upstream.port", "upstream.banner", "upstream.ehlo", "upstream.rcpt"], &["upstream.rcpt"])
        }
        Cause::ConnectionFailed if matches!(stage, Stage::Data | Stage::Body | Stage::EndOfData) => {
            (&["upstream.resolve", "upstream.port", "upstream.banner", "upstream.ehlo", "host.connect", "mx."], &[])
        }
        Cause::ConnectionFailed | Cause::PortBlocked => (
            &["upstream.resolve", "upstream.port", "upstream.banner", "upstream.ehlo", "host.connect", "mx."],
            &["upstream.ehlo", "host.connect"],
        ),
        Cause::DnsFailure | Cause::DomainNotFound => {
            (&["resolver.", "dns.", "ns.", "mx.", "upstream.resolve"], &["mx.", "upstream.resolve"])
        }
        // DNS shows no circle behind the server.
        Cause::MailLoop => (&["resolver.", "dns.", "ns.", "mx.", "upstream.resolve"], &[]),
        Cause::SpfDkimDmarcFailure => both(&["spf.", "dkim.", "dmarc."]),
        Cause::Blocklisted => both(&["sender.blocklist"]),
        // Of which blocklists are a part alone.
        Cause::PoorReputation => (&["sender.blocklist"], &[]),
        Cause::ReverseDnsMissing => both(&["sender.ptr", "sender.fcrdns"]),
        Cause::HeloRejected => (&["sender.helo", "sender.ptr", "sender.fcrdns"], &["sender.helo"]),
        Cause::SenderNotAuthorized
        | Cause::RelayDenied
        | Cause::RecipientUnknown
        | Cause::RecipientInactive
        | Cause::RecipientRestricted
        | Cause::MailboxFull
        | Cause::Greylisted => (&["upstream.rcpt", "upstream.login"], &["upstream.rcpt"]),
        Cause::MessageTooBig => both(&["upstream.size"]),
        _ => both(&[]),
    }
}

const RECALL: &str = "message.outcome";

fn recall(stopped: &Stopped) -> Check {
    let asked = format!("what became of {} at {}", stopped.id, stopped.at);
    let check = Check::asking(RECALL, asked, "the cause on record decides what is examined");
    let cause = stopped.cause.map(|cause| format!(", {cause}")).unwrap_or_default();
    let act = stopped.act.map(|act| format!(" (to act: {act})")).unwrap_or_default();
    let words = if stopped.words.is_empty() { String::new() } else { format!(": {}", stopped.words) };
    check.ok(format!("{} at {} by {}{cause}{act}{words}", stopped.state, stopped.stage, stopped.by))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Actor;
    use crate::trace::json::Time;

    fn conclusion(state: State, cause: Cause, checks: Vec<Check>) -> String {
        conclusion_at(Stage::Auth, state, cause, checks)
    }

    fn conclusion_at(stage: Stage, state: State, cause: Cause, checks: Vec<Check>) -> String {
        let stopped = Stopped {
            id: "01".to_owned(),
            at: Time(0),
            state,
            stage,
            by: Actor::Upstream,
            cause: Some(cause),
            act: None,
            upstream: Some("main".to_owned()),
            recipient: None,
            reverse_path: None,
            sender_domains: Vec::new(),
            words: "535 no".to_owned(),
            size: None,
            limit: None,
            signatures: Vec::new(),
            stranger: None,
        };
        let reports = if checks.is_empty() {
            Vec::new()
        } else {
            vec![Report::of("upstream main", vec![Section { title: "main".to_owned(), checks }])]
        };
        sum_up(&stopped, reports).conclusion
    }

    #[test]
    fn the_verdict_is_of_what_can_show_the_cause() {
        let check = |name: &str| Check::asking(name, name, "");
        let old = || check("upstream.certificate").warn("old", "Renew it.");
        let failed = || check("upstream.login").fail("535 no", "Change it.");
        let of = |state, checks| conclusion(state, Cause::AuthFailed, checks);
        assert_eq!(of(State::Deferred, vec![old(), failed()]), "It would stop again: upstream.login: 535 no. Change it.");
        let over = "What stopped it (auth_failed) is not there any more: it should pass at the next attempt.";
        assert_eq!(of(State::Deferred, vec![old(), check("upstream.login").ok("235")]), over);
        let other = vec![check("upstream.port.ipv4").fail("silent", "Open it."), check("upstream.login").ok("235")];
        assert!(of(State::Rejected, other).ends_with("But something else is wrong: upstream.port.ipv4: silent. Open it."));
        assert!(conclusion(State::Rejected, Cause::VirusDetected, Vec::new()).starts_with("Nothing that can be examined from here"));
        // What was only skipped shows nothing.
        assert!(
            of(State::Deferred, vec![check("upstream.hosts").skipped("no list")]).starts_with("Nothing that can be examined from here")
        );
        assert!(of(State::Accepted, Vec::new()).starts_with("The upstream took it"));
    }

    #[test]
    fn a_connection_that_broke_within_the_dialogue_isnt_mended_by_a_greeting() {
        let check = |name: &str| Check::asking(name, name, "").ok("250");
        let of = |stage, checks| conclusion_at(stage, State::Deferred, Cause::ConnectionFailed, checks);
        let told = of(Stage::RcptTo, vec![check("upstream.ehlo")]);
        assert!(
            told.contains("it failed at rcpt_to, which was not tried (`relayscope doctor upstream main --rcpt ADDRESS` does)"),
            "{told}"
        );
        assert!(of(Stage::RcptTo, vec![check("upstream.ehlo"), check("upstream.rcpt")]).ends_with("should pass at the next attempt."));
        assert!(of(Stage::EndOfData, vec![check("upstream.ehlo")]).contains("main --send ADDRESS` does"));
        assert!(of(Stage::Connect, vec![check("upstream.ehlo")]).ends_with("should pass at the next attempt."));
    }

    #[test]
    fn it_is_over_only_where_a_check_could_have_shown_it() {
        let check = |name: &str| Check::asking(name, name, "");
        let of = |cause, checks| conclusion(State::Rejected, cause, checks);
        let cant = "These checks can't show whether what stopped it";
        let ehlo = || check("upstream.ehlo").ok("SIZE 1000");
        for cause in [Cause::MessageTooBig, Cause::SpamDetected, Cause::PolicyRejected, Cause::SendingLimitReached, Cause::AuthFailed] {
            assert!(of(cause, vec![ehlo()]).starts_with(cant), "{cause}");
        }
        assert!(of(Cause::MessageTooBig, vec![ehlo(), check("upstream.size").ok("enough")]).contains("would probably pass"));
        // A login that works doesn't make a recipient known.
        assert!(of(Cause::RecipientUnknown, vec![check("upstream.login").ok("235")]).starts_with(cant));
        let lists = || vec![check("sender.blocklist").ok("not listed"), check("sender.blocklist").skipped("not asked")];
        let told = "Whether what stopped it (blocklisted) is over can't be told: sender.blocklist: not asked.";
        assert_eq!(of(Cause::Blocklisted, lists()), told);
        assert!(of(Cause::PoorReputation, lists()).starts_with(cant));
        let wrong = vec![ehlo(), check("upstream.port.ipv4").fail("silent", "Open it.")];
        assert!(of(Cause::MessageTooBig, wrong).ends_with("But something else is wrong: upstream.port.ipv4: silent. Open it."));
    }
}
