//! What others tell of a message: a report that passed, a line of a server's log.

use super::Sheet;
use crate::cli::screen::Style;
use crate::path::clock::span;
use crate::path::words;
use crate::trace::json::{Incident, Log, Report, Reported};

impl Sheet<'_> {
    pub(super) fn report(&mut self, it: &Report) {
        self.heading("What it reports of another message");
        self.fact("Form", &format!("{} ({})", it.kind, it.format));
        self.maybe("Reported by", it.reporting_mta.as_ref());
        self.maybe("Message-ID", it.original_message_id.as_ref());
        self.maybe("Subject", it.original_subject.as_ref());
        self.maybe("From", it.original_from.as_ref());
        self.maybe("To", it.original_to.as_ref());
        self.maybe("ENVID", it.envid.as_ref());
        self.maybe("Queue id", it.queue_id.as_ref());
        self.maybe("Arrived there", it.arrival.as_ref());
        it.recipients.iter().for_each(|recipient| self.reported(recipient));
        if it.recipients_cut > 0 {
            self.fact("", &format!("and {} more, counted but not kept", it.recipients_cut));
        }
        if it.cut {
            self.fact("", "the report was longer than what is looked at");
        }
    }

    fn reported(&mut self, it: &Reported) {
        let original = it.original.as_ref().map(|original| format!(" (sent to {original})")).unwrap_or_default();
        self.fact("Recipient", &format!("{}{original}: {}", it.address, it.action));
        let status = it.status.map(|status| format!("{status} ")).unwrap_or_default();
        let code = it.reply_code.map(|code| format!("{code} ")).unwrap_or_default();
        let by = it.remote_mta.as_ref().map(|by| format!(" (said by {by})")).unwrap_or_default();
        let text = it.text.as_deref().unwrap_or("no diagnostic");
        let width = self.look.width.map(|width| width.saturating_sub(16));
        self.screen.pad(16).paragraph(Style::Plain, &format!("{code}{status}{text}{by}"), width, 16);
        if let Some(cause) = it.cause {
            let rule = it.rule.as_ref().map(|rule| format!(" (rule {rule})")).unwrap_or_default();
            self.fact("", &format!("cause: {cause}{rule}"));
        }
        for (name, time) in [("last attempt", &it.last_attempt), ("tried until", &it.will_retry_until)] {
            if let Some(time) = time {
                self.fact("", &format!("{name}: {time}"));
            }
        }
    }

    pub(super) fn incident(&mut self, it: &Incident) {
        self.fact("Incident", &format!("{}, {}", it.incident, it.severity));
        self.fact("What", &it.summary);
        self.fact("Judged by", &it.arithmetic);
        self.maybe("Usual", it.baseline.as_ref());
        if let Some(change) = &it.change {
            self.fact("Before", &change.before);
            self.fact("Now", &change.after);
            if let Some(last) = change.last_before {
                self.fact("", &format!("last seen as before at {}", self.look.clock.precise(last)));
            }
        }
        let cause = it.cause.map(|cause| format!("{cause}; ")).unwrap_or_default();
        self.fact("Who must act", &format!("{cause}{}", words::act(it.act.0)));
        self.fact("What to do", &it.advice);
        it.about.iter().for_each(|about| self.fact("About", &format!("{} {}", about.kind, about.value)));
        let (since, last) = (self.look.clock.precise(it.since), self.look.clock.precise(it.last));
        self.fact("Events", &format!("{}, from {since} to {last}", it.count));
        it.samples.iter().for_each(|id| self.fact("For example", &id.to_string()));
        if let Some(wider) = it.part_of {
            self.fact("Part of", &wider.to_string());
        }
        if let Some(mute) = &it.mute {
            self.fact("Muted", &format!("by {} until {}", mute.who, self.look.clock.precise(mute.until)));
        }
        self.maybe("By", it.who.as_ref());
        self.maybe("Note", it.note.as_ref());
        self.fact("Recorded by", &format!("{}, relayscope {}, configuration {}", it.node, it.proxy_version, it.config_digest));
    }

    pub(super) fn log(&mut self, it: &Log) {
        self.maybe("Server", it.host.as_ref());
        if let Some(outcome) = &it.outcome {
            self.outcome(outcome);
        } else if let Some(reply) = &it.reply {
            self.fact("Said", &words::reply(reply));
        }
        let told = it.outcome.as_ref().and_then(|outcome| outcome.detail.as_ref());
        self.maybe("Words", it.detail.as_ref().filter(|detail| told != Some(*detail)));
        self.heading("Message");
        self.maybe("Message-ID", it.message_id.as_ref());
        self.maybe("Subject", it.subject.as_ref());
        if let Some(from) = &it.reverse_path {
            self.fact("From", if from.is_empty() { "<>" } else { from });
        }
        self.maybe("To", it.recipient.as_ref());
        self.maybe("Sent to", it.original_recipient.as_ref());
        self.maybe("Queue id", it.queue_id.as_ref());
        self.maybe("Next queue id", it.next_queue_id.as_ref());
        if let Some(size) = it.size {
            self.fact("Size", &crate::path::clock::octets(size));
        }
        let place = |host: &Option<String>, ip: &Option<std::net::IpAddr>| match (host, ip) {
            (None, None) => None,
            (host, ip) => Some(format!("{}{}", host.as_deref().unwrap_or_default(), ip.map(|ip| format!(" [{ip}]")).unwrap_or_default())),
        };
        self.maybe("Came from", place(&it.client_host, &it.client_ip).as_ref());
        self.maybe("Went to", place(&it.relay_host, &it.relay_ip).as_ref());
        if let Some(delay) = it.delay_us {
            self.fact("After", &span(delay));
        }
    }
}
