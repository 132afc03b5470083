//! `relayscope show ID`: one record whole, with the dialogue of both legs.

mod told;

use clap::Args;
use jiff::Timestamp;

use super::Traces;
use super::backend::Backend;
use super::failure::{Failure, Status};
use super::screen::{Look, Screen, Style, show_json};
use super::{ladder, locate};
use crate::path::clock::{octets, span};
use crate::path::words;
use crate::trace::RecordId;
use crate::trace::json::{Auth, Client, Message, Outcome, Phases, Record, Tls, Transaction, Upstream, Word};
use crate::trace::{Flag, Stage, State, json};

#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    traces: Traces,
    /// Trace id, as in `where`, `search` and the proxy's own replies
    #[arg(value_name = "ID")]
    id: String,
}

impl Show {
    pub fn run(self) -> Result<Status, Failure> {
        let traces = &self.traces;
        let id: RecordId = self.id.trim().parse().map_err(|error: crate::trace::id::NotAnId| {
            Failure::usage(error.to_string()).advise("to find a message by anything else: relayscope where WHAT")
        })?;
        let Some(record) = Backend::open(traces)?.record(id)? else {
            eprintln!("relayscope: no record {id} in this store: it is older than the traces kept, or of another proxy");
            return Ok(Status::NotFound);
        };
        if traces.json {
            show_json(&record)?;
        } else {
            render(&record, &Look::of_stdout(Timestamp::now())).show()?;
        }
        Ok(Status::Done)
    }
}

struct Sheet<'a> {
    screen: Screen,
    look: &'a Look,
}

pub fn render(record: &Record, look: &Look) -> Screen {
    let mut sheet = Sheet { screen: Screen::new(look), look };
    let title = match record {
        Record::Transaction(it) => format!("Transaction {} of session {}, {}", it.transaction_no, it.session_id, it.listener),
        Record::Session(it) => format!("Session, {}", it.listener),
        Record::Amendment(it) => format!("Later word on {}", it.of),
        Record::Gap(_) => "Gap: records that could not be stored".to_owned(),
        Record::Mark(_) => "Mark: end-of-data was about to be sent".to_owned(),
        Record::Log(it) => format!("Line of a log: {}, {}", it.format, it.event),
        Record::Audit(it) => format!("Relayscope itself: {}", it.event),
        Record::Incident(it) => format!("Incident: {}, {}", it.anomaly, it.step),
    };
    sheet.screen.styled(Style::Bold, &format!("{} · {title}", record.id())).newline();
    let precise = format!("{} ({})", look.clock.precise(record.at()), look.zone(record.at()));
    sheet.fact("At", &precise);
    match record {
        Record::Transaction(it) => sheet.transaction(it),
        Record::Session(it) => {
            sheet.fact("Took", &span(it.duration_us));
            sheet.fact("Recorded by", &format!("{}, relayscope {}, configuration {}", it.node, it.proxy_version, it.config_digest));
            sheet.client(&it.client);
            sheet.upstream(&it.upstream);
            if let Some(outcome) = &it.outcome {
                sheet.outcome(outcome);
            }
            let detail = it.ended.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
            let ended = format!(
                "{} by the {} at {}, after {} and {}{detail}",
                it.ended.how,
                it.ended.by,
                words::stage(it.ended.stage.0),
                words::count(it.ended.commands as usize, "command"),
                words::count(it.transactions as usize, "transaction"),
            );
            sheet.fact("Ended", &ended);
            sheet.phases(&it.phases);
            sheet.flags(&it.flags);
            sheet.dialogue(&it.timeline, it.timeline_cut, it.timeline_dropped);
        }
        Record::Amendment(it) => {
            sheet.outcome(&it.outcome);
            sheet.flags(&it.flags);
        }
        Record::Gap(it) => {
            sheet.fact("Until", &look.clock.precise(it.until));
            sheet.fact("Lost", &words::count(it.records_lost as usize, "record"));
            sheet.fact("Why", &it.why);
        }
        Record::Mark(it) => {
            sheet.client(&it.client);
            sheet.upstream(&it.upstream);
            sheet.envelope(&it.envelope);
        }
        Record::Log(it) => sheet.log(it),
        Record::Incident(it) => sheet.incident(it),
        Record::Audit(it) => {
            sheet.maybe("Because", it.detail.as_ref());
            sheet.maybe("By", it.who.as_ref());
            if let Some(since) = it.since {
                sheet.fact("Since", &look.clock.precise(since));
            }
            sheet.fact("Recorded by", &format!("{}, relayscope {}, configuration {}", it.node, it.proxy_version, it.config_digest));
        }
    }
    sheet.screen
}

impl Sheet<'_> {
    fn fact(&mut self, name: &str, value: &str) {
        let width = self.look.width.map(|width| width.saturating_sub(16));
        self.screen.pad(2).styled(Style::Faint, &format!("{name:<14}")).paragraph(Style::Plain, value, width, 16);
    }

    fn maybe(&mut self, name: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.fact(name, value);
        }
    }

    fn heading(&mut self, name: &str) {
        self.screen.newline().styled(Style::Bold, name).newline();
    }

    fn transaction(&mut self, it: &Transaction) {
        // Of what was cut off only the beginning is known, and nothing is no zero.
        let is_whole = !was_cut_off(it);
        if is_whole {
            self.fact("Took", &span(it.duration_us));
        }
        self.fact("Recorded by", &format!("{}, relayscope {}, configuration {}", it.node, it.proxy_version, it.config_digest));
        self.maybe("Route", it.route_rule.as_ref());
        self.outcome(&it.outcome);
        self.flags(&it.flags);
        self.envelope(&it.envelope);
        self.message(&it.message, is_whole);
        self.client(&it.client);
        self.upstream(&it.upstream);
        self.phases(&it.phases);
        self.dialogue(&it.timeline, it.timeline_cut, it.timeline_dropped);
    }

    fn outcome(&mut self, it: &Outcome) {
        let reply = it.reply.as_ref().map(|reply| format!(": {}", words::reply(reply))).unwrap_or_default();
        let outcome = format!("{} by the {} at {}{reply}", it.state, it.by, words::stage(it.stage.0));
        self.screen.pad(2).styled(Style::Faint, "Outcome       ");
        let width = self.look.width.map(|width| width.saturating_sub(16));
        self.screen.paragraph(Style::of(it.state.0), &outcome, width, 16);
        self.maybe("Because", it.detail.as_ref());
        self.maybe("Cause", it.cause.map(|cause| cause.to_string()).as_ref());
        self.maybe("Said by", it.provider.as_ref());
        if let Some(act) = it.act {
            self.fact("Who must act", &act.to_string());
        }
        self.maybe("Advice", it.advice.as_ref());
        self.maybe("Queue id", it.upstream_queue_id.as_ref());
        if let (Some(rule), Some(version)) = (&it.rule, &it.rules_version) {
            self.fact("Rule", &format!("{rule} (rules {version})"));
        }
    }

    fn flags(&mut self, flags: &[Word<Flag>]) {
        if !flags.is_empty() {
            self.fact("Flags", &flags.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        }
    }

    fn envelope(&mut self, it: &json::Envelope) {
        self.heading("Envelope");
        let from = if it.reverse_path.is_empty() { "<>" } else { &it.reverse_path };
        self.fact("From", &format!("{from} {}", it.params.join(" ")));
        if let Some(reply) = &it.reply {
            self.fact("", &words::reply(reply));
        }
        for recipient in &it.recipients {
            self.fact("To", &format!("{} {}", recipient.address, recipient.params.join(" ")));
            let width = self.look.width.map(|width| width.saturating_sub(16));
            let stage = words::stage(recipient.stage.0);
            let fate = match &recipient.reply {
                // By LMTP, the reply at the end is the recipient's own.
                Some(reply) if recipient.stage.0 == Stage::RcptTo || (recipient.stage.0 == Stage::EndOfData && reply.code >= 400) => {
                    format!("{} at {stage}: {}", recipient.state, words::reply(reply))
                }
                Some(reply) => format!("{} at {stage} (RCPT TO: {})", recipient.state, words::reply(reply)),
                None => format!("{} at {stage}", recipient.state),
            };
            self.screen.pad(16).paragraph(Style::of(recipient.state.0), &fate, width, 16);
            if let Some(cause) = recipient.cause {
                let rule = recipient.rule.as_ref().map(|rule| format!(" (rule {rule})")).unwrap_or_default();
                self.fact("", &format!("cause: {cause}{rule}"));
            }
        }
        if it.recipients_cut > 0 {
            self.fact("", &format!("and {} more, counted but not kept", it.recipients_cut));
        }
    }

    fn message(&mut self, it: &Message, was_seen: bool) {
        self.heading("Message");
        self.maybe("Message-ID", it.message_id.as_ref());
        self.maybe("Subject", it.subject.as_ref());
        self.maybe("From", it.from.as_ref());
        self.maybe("To", it.to.as_ref());
        self.maybe("Date", it.date.as_ref());
        self.maybe("In-Reply-To", it.in_reply_to.as_ref());
        self.maybe("Auto-Submitted", it.auto_submitted.as_ref());
        self.maybe("Client's id", it.client_queue_id.as_ref());
        if was_seen {
            self.fact("Size", &octets(it.size));
            self.fact("Received", &words::count(it.received_count as usize, "hop"));
        }
        if it.bare_newlines > 0 {
            self.fact("Bare CR or LF", &it.bare_newlines.to_string());
        }
        self.maybe("Digest", it.body_digest.as_ref());
        it.signatures.iter().for_each(|it| self.fact("DKIM key", &format!("{}._domainkey.{} (not verified)", it.selector, it.domain)));
        if let Some(report) = &it.report {
            self.report(report);
        }
    }

    fn client(&mut self, it: &Client) {
        self.heading("Client");
        self.fact("Address", &format!("{}, port {}", it.ip, it.port));
        self.maybe("EHLO", it.helo.as_ref());
        self.tls(it.tls.as_ref());
        self.auth(it.auth.as_ref());
        if let Some(via) = &it.via {
            self.via(via);
        }
    }

    fn via(&mut self, it: &json::Via) {
        let from = it.ip.map(|ip| format!(" from {ip}")).unwrap_or_default();
        let destination = it.destination.map(|destination| format!(", it had connected to {destination}")).unwrap_or_default();
        self.fact("Came by", &format!("{}{from}{destination}", words::via(it.how.0)));
        self.maybe("Balancer's id", it.unique_id.as_ref());
        self.maybe("Asked for", it.authority.as_ref());
        self.maybe("Balancer's TLS", it.tls.as_ref());
    }

    fn upstream(&mut self, it: &Upstream) {
        self.heading(&format!("Upstream \"{}\"", it.name));
        let mut address = it.host.clone().unwrap_or_else(|| "no host".to_owned());
        if let Some(ip) = it.ip {
            address.push_str(&format!(" [{ip}]"));
        }
        if let Some(port) = it.port {
            address.push_str(&format!(", port {port}"));
        }
        self.fact("Address", &address);
        self.maybe("Chosen as", it.choice.as_ref());
        for lookup in &it.lookups {
            self.fact("DNS", &locate::lookup(lookup));
        }
        for tried in &it.tried {
            let stage = words::stage(tried.stage.0);
            self.fact("Tried before", &format!("{}:{}, {stage}: {} (after {})", tried.host, tried.port, tried.error, span(tried.at_us)));
        }
        self.maybe("Greeting", it.banner.as_ref());
        self.maybe("Software", it.software.as_ref());
        if !it.offered.is_empty() {
            self.fact("Offers", &it.offered.join(", "));
        }
        for hidden in &it.hidden {
            self.fact("Hidden", &format!("{}: {}", hidden.keyword, hidden.why));
        }
        if let Some(spliced) = &it.spliced {
            let since =
                spliced.starttls_at_us.map_or_else(|| "from the first octet".to_owned(), |at| format!("from STARTTLS, after {}", span(at)));
            let alpn = if spliced.alpn.is_empty() { String::new() } else { format!(", ALPN {}", spliced.alpn.join(" ")) };
            let (up, down) = (octets(spliced.client_octets), octets(spliced.upstream_octets));
            self.fact("Passed on", &format!("unread {since}: {up} of the client, {down} of the upstream{alpn}"));
        }
        self.tls(it.tls.as_ref());
        if let Some(policy) = &it.tls_policy {
            let by = policy.verified_by.as_ref().map(|by| format!("; certificate vouched for by {by}")).unwrap_or_default();
            self.fact("TLS policy", &format!("{} ({}){by}", policy.policy, policy.source));
        }
        self.auth(it.auth.as_ref());
        if let Some(told) = it.told {
            self.fact("Told of client", words::told(told.0));
        }
    }

    fn tls(&mut self, tls: Option<&Tls>) {
        let Some(it) = tls else { return self.fact("TLS", "none") };
        let verified = match (it.verified, &it.why_not) {
            (Some(true), _) => ", certificate verified".to_owned(),
            (Some(false), Some(why)) => format!(", certificate NOT verified: {why}"),
            (Some(false), None) => ", certificate NOT verified".to_owned(),
            (None, _) => String::new(),
        };
        self.fact("TLS", &format!("{} {}{verified}", it.version, it.cipher));
        if let Some(subject) = &it.subject {
            let issuer = it.issuer.as_ref().map(|issuer| format!(", issued by {issuer}")).unwrap_or_default();
            let expiry = it.expires_at.map(|at| format!(", valid until {}", self.look.clock.moment(at))).unwrap_or_default();
            self.fact("Certificate", &format!("{subject}{issuer}{expiry}"));
        }
    }

    fn auth(&mut self, auth: Option<&Auth>) {
        let Some(it) = auth else { return };
        let user = it.user.as_ref().map(|user| format!(" as {user}")).unwrap_or_default();
        let reply = it.reply.as_ref().map(|reply| format!(": {}", words::reply(reply))).unwrap_or_default();
        self.fact("AUTH", &format!("{}{user} {}{reply}", it.mechanism, it.outcome));
    }

    fn phases(&mut self, phases: &Phases) {
        let phases = locate::phases(phases);
        if phases.is_empty() {
            return;
        }
        self.heading("Time spent");
        let all: Vec<String> = phases.iter().map(|(name, us)| format!("{name} {}", span(*us))).collect();
        self.screen.pad(2).paragraph(Style::Plain, &all.join(" · "), self.look.width.map(|width| width.saturating_sub(2)), 2);
    }

    fn dialogue(&mut self, timeline: &[json::Line], cut: u32, dropped: bool) {
        self.heading("Dialogue");
        if dropped {
            let why = "no longer kept: it was old, or its space was needed (keep_dialogues_days, keep_size and keep_free_size in [store])";
            self.screen.pad(2).paragraph(Style::Plain, why, self.look.width.map(|width| width.saturating_sub(2)), 2);
        } else if timeline.is_empty() {
            self.screen.pad(2).line("not kept");
        } else {
            ladder::draw(&mut self.screen, timeline, cut, self.look);
        }
    }
}

/// Made of what was noted before the message's end went on: see `RelayHop::was_cut_off`.
fn was_cut_off(it: &Transaction) -> bool {
    it.outcome.state.0 == State::Unknown && it.duration_us == 0 && it.message.size == 0
}
