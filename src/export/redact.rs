//! Leaves out of a record what a receiver must not see, or puts something in its place that stands for it: in its field, and wherever else it recurs.
//!
//! A hash is keyed (BLAKE3), so that equal values can be told to be equal, and none can be guessed without the key. The dialogue goes whole.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use regex::{Captures, Regex};
use ring::rand::{SecureRandom, SystemRandom};

use crate::trace::{AboutKind, Auth, Client, Kept, Outcome, Record, Reply, Report, Timeline, Upstream};

mod incident;
mod texts;

/// What is done to a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hide {
    #[default]
    Keep,
    /// 16 hex digits stand for it.
    Hashed,
    Off,
}

/// What a receiver may see.
#[derive(Debug, Clone, Default)]
pub struct Redaction {
    /// Mail addresses, in the envelope, the header and all texts; the domain of a hashed one stays.
    pub addresses: Hide,
    pub subject: Hide,
    /// Addresses and HELO names of clients. Hashed: an address out of fd00::/8 that stands for it.
    pub clients: Hide,
    /// Names that logged in.
    pub users: Hide,
    pub message_ids: Hide,
    pub key: [u8; 32],
}

/// Anything that may be a mail address. `'`, `=` and the like are legal in local parts, and stay outside in most texts.
static ADDRESS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"[^\s<>()\[\]{},;:"'=@]+@[^\s<>()\[\]{},;:"'=@]+"#).ok());

impl Redaction {
    /// Nothing is hidden.
    pub fn is_none(&self) -> bool {
        [self.addresses, self.subject, self.clients, self.users, self.message_ids].iter().all(|hide| *hide == Hide::Keep)
    }

    /// Whether anything is hidden behind a hash, so that the key matters.
    pub fn hashes(&self) -> bool {
        [self.addresses, self.subject, self.clients, self.users, self.message_ids].contains(&Hide::Hashed)
    }

    /// The record as the receiver may see it. `amended`: what it amends, if it does; what must not be seen of that recurs in it.
    pub fn apply<'a>(&self, record: &'a Record, amended: Option<&Record>) -> Cow<'a, Record> {
        if self.is_none() {
            return Cow::Borrowed(record);
        }
        let mut record = record.clone();
        if let (Record::Amendment(amendment), None) = (&mut record, amended) {
            // What is to be hidden can't be told any more.
            amendment.outcome.reply.iter_mut().for_each(|reply| reply.lines.clear());
            amendment.outcome.detail = None;
        }
        let known = self.known(amended.unwrap_or(&record));
        self.fields(&mut record);
        let shown = self.shown_ips(&record);
        texts::each(&mut record, &mut |text| {
            self.text(text, &known);
            if let Some(shown) = &shown {
                self.ips(text, shown);
            }
        });
        Cow::Owned(record)
    }

    fn hash(&self, value: &str) -> String {
        let hash = blake3::keyed_hash(&self.key, value.to_ascii_lowercase().as_bytes());
        hash.as_bytes().iter().take(8).fold(String::new(), |text, octet| text + &format!("{octet:02x}"))
    }

    fn hidden(&self, hide: Hide, value: &str) -> String {
        match hide {
            Hide::Keep => value.to_owned(),
            Hide::Hashed if value.is_empty() => String::new(),
            Hide::Hashed => self.hash(value),
            Hide::Off => String::new(),
        }
    }

    /// `<hash>@domain`, or nothing; the null sender stays what it is.
    fn address(&self, address: &str) -> String {
        match (self.addresses, address.rsplit_once('@')) {
            (Hide::Hashed, Some((_, domain))) => format!("{}@{domain}", self.hash(address)),
            (hide, _) => self.hidden(hide, address),
        }
    }

    fn ip(&self, ip: IpAddr) -> IpAddr {
        match self.clients {
            Hide::Keep => ip,
            Hide::Off => Ipv4Addr::UNSPECIFIED.into(),
            Hide::Hashed => {
                let hash = blake3::keyed_hash(&self.key, ip.to_canonical().to_string().as_bytes());
                let mut octets = [0; 16];
                octets.copy_from_slice(hash.as_bytes().get(..16).unwrap_or(&[0; 16]));
                octets[0] = 0xfd;
                Ipv6Addr::from(octets).into()
            }
        }
    }

    /// What must not recur in texts, and what stands for it there; longest first.
    fn known(&self, record: &Record) -> Vec<(String, String)> {
        let mut known = Vec::new();
        let mut note = |hide: Hide, value: &str, instead: String| {
            if hide != Hide::Keep && value.len() > 2 {
                known.push((value.to_owned(), if instead.is_empty() { "-".to_owned() } else { instead }));
            }
        };
        if let Record::Transaction(it) = record {
            let report = it.message.report.as_deref();
            let reported = report.into_iter().flat_map(|report| &report.recipients);
            let reported = reported.flat_map(|recipient| recipient.original.iter().chain([&recipient.address]));
            let recipients = it.envelope.recipients.iter().map(|recipient| &recipient.address);
            for address in recipients.chain([&it.envelope.reverse_path]).chain(reported) {
                note(self.addresses, address, self.address(address));
                if let Some((local, _)) = address.rsplit_once('@') {
                    note(self.addresses, local, self.hidden(self.addresses, address));
                }
            }
            let original_subject = report.and_then(|report| report.original_subject.as_ref());
            for subject in it.message.subject.iter().chain(original_subject) {
                note(self.subject, subject, self.hidden(self.subject, subject));
            }
            let original_id = report.and_then(|report| report.original_message_id.as_ref());
            for id in it.message.message_id.iter().chain(original_id) {
                note(self.message_ids, id, self.hidden(self.message_ids, id));
            }
        }
        if let Record::Transaction(_) | Record::Session(_) = record
            && let Some(client) = client_of(record)
        {
            note(self.clients, &client.ip.to_string(), self.ip(client.ip).to_string());
            note(self.clients, &client.ip.to_canonical().to_string(), self.ip(client.ip).to_string());
            for helo in client.helo.iter() {
                note(self.clients, helo, self.hidden(self.clients, helo));
            }
            let logins = client.auth.iter().chain(upstream_of(record).and_then(|upstream| upstream.auth.as_ref()));
            for user in logins.filter_map(|auth| auth.user.as_deref()) {
                let parts = [Some(user), user.rsplit_once('@').map(|(local, _)| local)];
                parts.into_iter().flatten().for_each(|part| note(self.users, part, self.hidden(self.users, user)));
            }
        }
        if let Record::Incident(incident) = record {
            for about in &incident.about {
                let (hide, instead) = self.about(about.kind, &about.value);
                note(hide, &about.value, instead);
                if let (AboutKind::Sender | AboutKind::Recipient | AboutKind::User, Some((local, _))) =
                    (about.kind, about.value.rsplit_once('@'))
                {
                    note(hide, local, self.hidden(hide, &about.value));
                }
            }
        }
        known.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        known
    }

    fn about(&self, kind: AboutKind, value: &str) -> (Hide, String) {
        match kind {
            AboutKind::Client => {
                (self.clients, value.parse().map_or_else(|_| self.hidden(self.clients, value), |ip| self.ip(ip).to_string()))
            }
            AboutKind::User => (self.users, self.hidden(self.users, value)),
            AboutKind::Sender | AboutKind::Recipient => (self.addresses, self.address(value)),
            AboutKind::MessageId => (self.message_ids, self.hidden(self.message_ids, value)),
            _ => (Hide::Keep, value.to_owned()),
        }
    }

    /// Fields whose whole value is what is hidden.
    fn fields(&self, record: &mut Record) {
        match record {
            Record::Transaction(it) => {
                it.timeline = Timeline::dropped();
                it.client = Arc::new(Kept::new(self.client(&it.client)));
                it.upstream = Arc::new(Kept::new(self.upstream(&it.upstream)));
                it.envelope.reverse_path = self.address(&it.envelope.reverse_path);
                for recipient in &mut it.envelope.recipients {
                    recipient.address = self.address(&recipient.address);
                    if self.addresses != Hide::Keep {
                        recipient.orcpt = None;
                    }
                }
                let message = &mut it.message;
                for (hide, field) in [(self.subject, &mut message.subject), (self.message_ids, &mut message.message_id)] {
                    self.option(hide, field);
                }
                self.option(self.message_ids, &mut message.in_reply_to);
                if let Some(report) = &mut message.report {
                    self.report(report);
                }
            }
            Record::Session(it) => {
                it.timeline = Timeline::dropped();
                it.client = Arc::new(Kept::new(self.client(&it.client)));
                it.upstream = Arc::new(Kept::new(self.upstream(&it.upstream)));
            }
            Record::Log(it) => {
                self.option(self.subject, &mut it.subject);
                self.option(self.message_ids, &mut it.message_id);
            }
            Record::Incident(it) => {
                self.wording(it);
                for about in &mut it.about {
                    about.value = self.about(about.kind, &about.value).1;
                }
            }
            Record::Amendment(_) | Record::Gap(_) | Record::Mark(_) | Record::Audit(_) => {}
        }
    }

    fn option(&self, hide: Hide, field: &mut Option<String>) {
        if hide != Hide::Keep {
            *field = field.take().map(|value| self.hidden(hide, &value)).filter(|value| !value.is_empty());
        }
    }

    fn report(&self, report: &mut Report) {
        self.option(self.subject, &mut report.original_subject);
        self.option(self.message_ids, &mut report.original_message_id);
        for recipient in &mut report.recipients {
            recipient.address = self.address(&recipient.address);
        }
    }

    fn client(&self, client: &Client) -> Client {
        let mut client = client.clone();
        if self.clients != Hide::Keep {
            client.ip = self.ip(client.ip);
            client.via = None;
            // A certificate's names are the client's, too.
            client.tls.iter_mut().for_each(|tls| (tls.subject, tls.issuer) = (None, None));
        }
        self.option(self.clients, &mut client.helo);
        self.auth(client.auth.as_mut());
        client
    }

    fn upstream(&self, upstream: &Upstream) -> Upstream {
        let mut upstream = upstream.clone();
        self.auth(upstream.auth.as_mut());
        upstream
    }

    fn auth(&self, auth: Option<&mut Auth>) {
        if let Some(auth) = auth {
            self.option(self.users, &mut auth.user);
        }
    }

    /// What is hidden may stand anywhere in a text, and addresses in it that are no field's.
    fn text(&self, text: &mut String, known: &[(String, String)]) {
        for (value, instead) in known {
            replace(text, value, instead);
        }
        if self.addresses != Hide::Keep
            && let Some(pattern) = &*ADDRESS
            && pattern.is_match(text)
        {
            let stand_in = |found: &Captures<'_>| {
                let address = found.get(0).map_or("", |it| it.as_str());
                let is_done = known.iter().any(|(_, instead)| instead == address);
                if is_done { address.to_owned() } else { Some(self.address(address)).filter(|it| !it.is_empty()).unwrap_or("-".to_owned()) }
            };
            *text = pattern.replace_all(text, stand_in).into_owned();
        }
    }
}

/// The key of a store's hashes, made when it is first asked for: `STORE/export.key`, for its owner alone. Where it can't be kept, one that holds
/// until the process ends, which is said.
pub fn key_of_store(store: &Path) -> [u8; 32] {
    let file = store.join("export.key");
    match std::fs::read(&file).map(|octets| <[u8; 32]>::try_from(octets.as_slice())) {
        Ok(Ok(key)) => return key,
        Ok(Err(_)) => tracing::warn!(file = %file.display(), "is no key of 32 octets; hashes in exports change"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        // It stays: what can't be read now may be readable later, and its hashes are in the receivers.
        Err(error) => {
            tracing::error!(file = %file.display(), %error, "can't be read; hashes in exports are others until the next start");
            return random();
        }
    }
    let key = random();
    let written = std::fs::create_dir_all(store).and_then(|()| {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        std::io::Write::write_all(&mut options.open(&file)?, &key)
    });
    if let Err(error) = written {
        tracing::warn!(file = %file.display(), %error, "the key of hashes in exports can't be kept: it is another one after a restart");
    }
    key
}

fn random() -> [u8; 32] {
    let mut key = [0; 32];
    if SystemRandom::new().fill(&mut key).is_err() {
        tracing::error!("no random octets: hashes in exports can be guessed");
    }
    key
}

fn client_of(record: &Record) -> Option<&Client> {
    match record {
        Record::Transaction(it) => Some(&it.client),
        Record::Session(it) => Some(&it.client),
        _ => None,
    }
}

fn upstream_of(record: &Record) -> Option<&Upstream> {
    match record {
        Record::Transaction(it) => Some(&it.upstream),
        Record::Session(it) => Some(&it.upstream),
        _ => None,
    }
}

/// Puts `instead` wherever `value` stands, in letters of either case.
fn replace(text: &mut String, value: &str, instead: &str) {
    let (lower, wanted) = (text.to_ascii_lowercase(), value.to_ascii_lowercase());
    let Some(first) = lower.find(&wanted) else { return };
    let mut out = String::with_capacity(text.len());
    let (mut from, mut at) = (0, Some(first));
    while let Some(start) = at {
        out.push_str(text.get(from..start).unwrap_or_default());
        out.push_str(instead);
        from = start + wanted.len();
        at = lower.get(from..).and_then(|rest| rest.find(&wanted)).map(|next| from + next);
    }
    out.push_str(text.get(from..).unwrap_or_default());
    *text = out;
}

/// For the outcomes and replies of a record.
fn of_outcome(outcome: &mut Outcome, f: &mut dyn FnMut(&mut String)) {
    outcome.reply.as_mut().into_iter().for_each(|reply| of_reply(reply, f));
    outcome.detail.as_mut().into_iter().for_each(f);
}

fn of_reply(reply: &mut Reply, f: &mut dyn FnMut(&mut String)) {
    reply.lines.iter_mut().for_each(f);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples;
    use crate::trace::{About, State};

    #[test]
    fn what_amends_a_record_tells_no_more_of_it() {
        let original = samples::transaction(7);
        let Record::Transaction(it) = &original else { unreachable!() };
        let (address, client) = (it.envelope.recipients[0].address.clone(), it.client.ip.to_string());
        let (local, _) = address.rsplit_once('@').unwrap();
        let Record::Amendment(mut amendment) = samples::amendment(7, 8, State::Rejected) else { unreachable!() };
        let lines = vec![format!("5.1.1 <{local}> is unknown here, says {client}")];
        amendment.outcome.reply = Some(Reply { code: 550, enhanced: None, lines });
        let record = Record::Amendment(amendment);
        let redaction = Redaction { addresses: Hide::Off, clients: Hide::Hashed, ..Redaction::default() };
        for amended in [Some(&original), None] {
            let shown = format!("{:?}", redaction.apply(&record, amended));
            assert!(!shown.contains(local) && !shown.contains(&client), "{shown}");
        }
    }

    #[test]
    fn the_name_that_logged_in_at_the_upstream_is_hidden_in_its_words_too() {
        let Record::Session(mut it) = samples::session(7) else { unreachable!() };
        let mut upstream = (**it.upstream).clone();
        let lines = vec!["5.7.8 relay-user@example.org may not, nor RELAY-USER".to_owned()];
        let reply = Reply { code: 535, enhanced: None, lines };
        let (mechanism, user, outcome) = ("PLAIN".to_owned(), Some("relay-user@example.org".to_owned()), "failed".to_owned());
        upstream.auth = Some(Auth { mechanism, user, outcome, reply: Some(reply) });
        it.upstream = Arc::new(Kept::new(upstream));
        let redaction = Redaction { users: Hide::Off, ..Redaction::default() };
        let shown = format!("{:?}", redaction.apply(&Record::Session(it), None)).to_lowercase();
        assert!(shown.contains("may not") && !shown.contains("relay-user"), "{shown}");
    }

    #[test]
    fn what_a_report_and_an_incident_tell_of_is_hidden_in_their_words() {
        let secrets = ["anna.mueller", "a.mueller", "quarterly figures", "c7f3@mail.example"];
        let Record::Transaction(mut it) = samples::report(7, 8) else { unreachable!() };
        let report = it.message.report.as_mut().unwrap();
        (report.original_subject, report.original_message_id) = (Some(secrets[2].to_owned()), Some(secrets[3].to_owned()));
        report.recipients[0].address = format!("{}@example.org", secrets[0]);
        report.recipients[0].original = Some(format!("{}@example.org", secrets[1]));
        let words = format!("550 5.1.1 \"{}\", once {}: user unknown; \"{}\", {}", secrets[0], secrets[1], secrets[2], secrets[3]);
        report.recipients[0].text = Some(words);
        let Record::Incident(mut incident) = samples::incident(9) else { unreachable!() };
        let about = |kind, value: &str| About { kind, value: format!("{value}@example.org") };
        incident.about = vec![about(AboutKind::Sender, secrets[0]), about(AboutKind::Recipient, secrets[1])];
        incident.summary = format!("mail of {} to {}", secrets[0], secrets[1]);
        for hide in [Hide::Off, Hide::Hashed] {
            let redaction = Redaction { addresses: hide, subject: hide, message_ids: hide, ..Redaction::default() };
            for record in [Record::Transaction(it.clone()), Record::Incident(incident.clone())] {
                let shown = format!("{:?}", redaction.apply(&record, None));
                let found: Vec<_> = secrets.iter().filter(|secret| shown.contains(**secret)).collect();
                assert!(found.is_empty(), "{found:?} in {shown}");
            }
        }
    }
}
