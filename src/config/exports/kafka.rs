//! `kind = "kafka"`: brokers, topic, partition and login.

use super::super::export::{Format, Mechanism};
use super::{One, is_near, without_login};
use crate::export::format::Format as EventFormat;
use crate::export::transport::{Target, kafka};

/// What Kafka takes for a topic's name.
const TOPIC: usize = 249;
const EXAMPLE: &str = "write url = \"…\", for example tls://kafka1.example:9093,kafka2.example:9093 or tcp://kafka.example:9092";

impl One<'_> {
    pub(super) fn kafka(&mut self) -> Option<Target> {
        let (tls, brokers) = self.brokers()?;
        let made = self.tls(tls)?;
        let it = self.written;
        let is_topic = |name: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            (1..=TOPIC).contains(&name.len()) && name != "." && name != ".." && name.chars().all(fits)
        };
        if !is_topic(&it.topic) {
            self.refuse("topic", "topic is 1 to 249 letters, digits, dots, underscores and hyphens, for example topic = \"mail-traces\"");
        }
        if it.spread && it.partition.is_some() {
            self.refuse("partition", "partition and spread = true exclude each other: one partition keeps the order, all share the load");
        }
        let login = self.login(tls, &brokers)?;
        let one = || i32::try_from(it.partition.unwrap_or(0)).unwrap_or(i32::MAX);
        Some(Target::Kafka(kafka::Options {
            brokers,
            tls: tls.then_some(made),
            login,
            topic: it.topic.clone(),
            partition: if it.spread { kafka::Partition::OfKey } else { kafka::Partition::One(one()) },
            gzip: it.gzip,
            format: EventFormat::from(it.format.unwrap_or(Format::Json)).word(),
        }))
    }

    /// Whether they want TLS, and where they are.
    fn brokers(&mut self) -> Option<(bool, Vec<(String, u16)>)> {
        let Some(text) = self.written.url.as_deref() else { return self.refused("url", Err(format!("has no url: {EXAMPLE}"))) };
        let one = |text: &str| {
            let (host, port) = text.rsplit_once(':')?;
            let host = host.strip_prefix('[').map_or(Some(host), |rest| rest.strip_suffix(']'))?;
            let is_host = !host.is_empty() && !host.contains(['/', '@', '?', '#', '[', ']']) && !host.contains(char::is_whitespace);
            let port = port.parse().ok().filter(|port| *port != 0)?;
            is_host.then(|| (host.to_owned(), port))
        };
        let read = || {
            let (scheme, rest) = text.split_once("://")?;
            let tls = match scheme {
                "tls" => true,
                "tcp" => false,
                _ => return None,
            };
            let brokers: Option<Vec<_>> = rest.trim_end_matches('/').split(',').map(|text| one(text.trim())).collect();
            Some((tls, brokers?))
        };
        let brokers =
            read().ok_or_else(|| format!("url = {:?} doesn't name Kafka's brokers, each with its port: {EXAMPLE}", without_login(text)));
        self.refused("url", brokers)
    }

    fn login(&mut self, tls: bool, brokers: &[(String, u16)]) -> Option<Option<kafka::Login>> {
        let secret = self.secret();
        let it = self.written;
        let is_named = it.secret_file.is_some() || it.secret_env.is_some();
        let (user, password) = match (&it.user, secret) {
            (Some(user), Some(password)) => (user.clone(), password),
            (Some(_), None) if is_named => return None, // why is said already
            (Some(_), None) => return self.refused("user", Err("user needs a password: write secret_file".to_owned())),
            (None, _) if is_named => return self.refused("user", Err("the password needs its user: write user = \"…\"".to_owned())),
            (None, _) if it.mechanism != Mechanism::ScramSha512 => {
                return self.refused("mechanism", Err("mechanism is for a login: write user and secret_file".to_owned()));
            }
            (None, _) => return Some(None),
        };
        if user.is_empty() || user.contains(char::is_control) {
            self.refuse("user", "user is empty, or has control characters");
        }
        if it.mechanism == Mechanism::Plain && !tls && !brokers.iter().all(|(host, _)| is_near(host)) {
            self.refuse("mechanism", "the password would travel in clear: write tls:// in url, or mechanism = \"scram-sha-512\"");
        }
        Some(Some(kafka::Login { mechanism: it.mechanism.into(), user, password: kafka::Password::new(password.reveal().clone()) }))
    }
}
