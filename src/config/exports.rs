//! `[[export]]`: from what is written to options, refusing what can't work or would leak a secret.

mod kafka;
mod open_telemetry;

use std::collections::BTreeSet;
use std::time::Duration;

use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use ring::hmac;

use super::export::{Body, Export, ExportOptions, Format, Kind, Redact};
use super::problem::Findings;
use super::raw::Raw;
use super::secret;
use super::upstreams::check_name;
use crate::export::format::{Format as EventFormat, LEAST_EVENT};
use crate::export::transport::{Target, elasticsearch, file, http, splunk, stream, syslog, udp};
use crate::export::{self, Batching, Filter};
use crate::net::http_client::HttpUrl;
use crate::net::tls::{ClientTls, ClientTlsError};
use crate::path::What;
use crate::relay::options::Secret;

/// Most exports: each has a thread.
const MOST: usize = 32;
/// The least and the most octets of an event.
const EVENT: std::ops::RangeInclusive<u64> = LEAST_EVENT as u64..=1 << 20;
/// What a datagram holds of a syslog message beside its header, and 128 chunks of GELF, rounded down.
const DATAGRAM: u64 = 60 << 10;
const CHUNKS: u64 = 1_022 << 10;
/// The most octets of a batch: a sink that is stuck holds one.
const BATCH: std::ops::RangeInclusive<u64> = 4_096..=2 << 20;
/// Every export's options; what can't be made into options is left out, and found.
pub(super) fn exports(raw: &Raw, findings: &mut Findings) -> Vec<ExportOptions> {
    if raw.export.len() > MOST {
        findings.refuse("export", format!("{} exports are more than {MOST}", raw.export.len()));
    }
    let (mut names, mut files, mut found) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for (number, written) in raw.export.iter().enumerate() {
        let (path, label) = (format!("export.{number}"), format!("export {:?}", written.name));
        check_name(&written.name, &label, &format!("{path}.name"), findings);
        if !names.insert(written.name.to_ascii_lowercase()) {
            findings.refuse(&format!("{path}.name"), format!("{label}: another export has this name: give each its own with `name`"));
        }
        if let Some(file) = written.path.as_ref().filter(|file| written.enabled && !files.insert(*file)) {
            let file = file.display();
            findings.refuse(&format!("{path}.path"), format!("{label}: another export writes to {file}: give each a file of its own"));
        }
        let options = One { raw, written, path, label, findings }.options();
        found.extend(options.filter(|_| written.enabled));
    }
    found
}

/// One export under examination.
struct One<'a> {
    raw: &'a Raw,
    written: &'a Export,
    path: String,
    label: String,
    findings: &'a mut Findings,
}

/// What a URL of syslog's and GELF's names.
struct StreamUrl {
    tls: bool,
    udp: bool,
    host: String,
    port: u16,
}

impl One<'_> {
    fn options(mut self) -> Option<ExportOptions> {
        let written = self.written;
        self.misplaced();
        let (include, exclude) = (self.filter("include", &written.include), self.filter("exclude", &written.exclude));
        let redaction = self.redaction();
        if written.timeline && !redaction.is_none() {
            self.refuse("timeline", "timeline = true and [export.redact] exclude each other: the dialogue would show what is hidden");
        }
        // Brokers take 1 MiB by default, with what stands around the events.
        let batch_size = written.batch_size.map_or(if written.kind == Kind::Kafka { 1 << 19 } else { 1 << 20 }, |octets| octets.0);
        if !BATCH.contains(&batch_size) {
            self.refuse("batch_size", "batch_size is from \"4 KiB\" to \"2 MiB\"");
        }
        let target = self.target()?;
        let is_datagram = matches!(target, Target::SyslogUdp { .. } | Target::GelfUdp { .. });
        let max_event = written.max_event.map_or(if is_datagram { 2_048 } else { 65_536 }, |octets| octets.0);
        if !EVENT.contains(&max_event) {
            self.refuse("max_event", "max_event is from \"1 KiB\" to \"1 MiB\"");
        } else if max_event > DATAGRAM && matches!(target, Target::SyslogUdp { .. }) {
            self.refuse("max_event", "a datagram holds no bigger event than max_event = \"60 KiB\": for more write tcp:// or tls://");
        } else if max_event > CHUNKS && matches!(target, Target::GelfUdp { .. }) {
            self.refuse("max_event", "GELF over UDP has no bigger event than max_event = \"1022 KiB\": for more write tcp:// or tls://");
        }
        let soon = matches!(written.kind, Kind::Syslog | Kind::File);
        let linger = written.linger.map_or(Duration::from_millis(if soon { 200 } else { 1_000 }), |linger| linger.0);
        Some(ExportOptions {
            name: written.name.clone(),
            target,
            format: match written.kind {
                Kind::Gelf => EventFormat::Gelf,
                // Data streams take nothing without `@timestamp`.
                Kind::Elasticsearch => written.format.map_or(EventFormat::Ecs, Into::into),
                _ => written.format.map(Into::into).unwrap_or_default(),
            },
            include,
            exclude,
            timeline: written.timeline,
            redaction,
            batching: Batching {
                events: written.batch_events.max(1) as usize,
                octets: usize::try_from(batch_size).unwrap_or(1 << 20),
                linger,
            },
            max_event: usize::try_from(max_event).unwrap_or(65_536),
            start: written.start.into(),
            report_after: written.report_after.0,
        })
    }

    fn refuse(&mut self, key: &str, text: &str) {
        self.findings.refuse(&format!("{}.{key}", self.path), format!("{}: {text}", self.label));
    }

    fn refused<T>(&mut self, key: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|why| self.refuse(key, &why)).ok()
    }

    /// Options that this kind of export has no use for were meant for something.
    fn misplaced(&mut self) {
        let (it, kind) = (self.written, self.written.kind);
        let default = Export::default();
        let web = matches!(kind, Kind::Http | Kind::Splunk | Kind::Elasticsearch | Kind::Otlp);
        let uses = [
            ("path", it.path.is_some(), kind == Kind::File),
            ("url", it.url.is_some(), kind != Kind::File),
            ("format", it.format.is_some_and(|format| format != Format::Gelf), kind != Kind::Gelf),
            ("gzip", it.gzip, web || matches!(kind, Kind::Gelf | Kind::Kafka)),
            ("body", it.body != default.body, kind == Kind::Http),
            ("framing", it.framing != default.framing, kind == Kind::Syslog),
            ("facility", it.facility != default.facility, kind == Kind::Syslog),
            ("app_name", it.app_name != default.app_name, kind == Kind::Syslog),
            ("index", it.index.is_some(), matches!(kind, Kind::Splunk | Kind::Elasticsearch)),
            ("source_type", it.source_type != default.source_type, kind == Kind::Splunk),
            ("acknowledgement", it.acknowledgement, kind == Kind::Splunk),
            ("user", it.user.is_some(), matches!(kind, Kind::Elasticsearch | Kind::Otlp | Kind::Kafka)),
            ("secret_file", it.secret_file.is_some(), web || kind == Kind::Kafka),
            ("secret_env", it.secret_env.is_some(), web || kind == Kind::Kafka),
            ("secret_header", it.secret_header.is_some(), kind == Kind::Otlp),
            ("protocol", it.protocol != default.protocol, kind == Kind::Otlp),
            ("signals", it.signals != default.signals, kind == Kind::Otlp),
            ("topic", it.topic != default.topic, kind == Kind::Kafka),
            ("partition", it.partition.is_some(), kind == Kind::Kafka),
            ("spread", it.spread, kind == Kind::Kafka),
            ("mechanism", it.mechanism != default.mechanism, kind == Kind::Kafka),
            ("metrics_interval", it.metrics_interval != default.metrics_interval, kind == Kind::Otlp),
            ("rotate_size", it.rotate_size != default.rotate_size, kind == Kind::File),
            ("keep", it.keep != default.keep, kind == Kind::File),
            ("ca_file", it.ca_file.is_some(), kind != Kind::File),
            ("certificate", it.certificate.is_some(), kind != Kind::File),
            ("key", it.key.is_some(), kind != Kind::File),
        ];
        for (key, is_set, is_used) in uses {
            if is_set && !is_used {
                self.refuse(key, &format!("{key} is not for kind = \"{}\": remove it", kind.word()));
            }
        }
    }

    fn filter(&mut self, key: &str, text: &Option<String>) -> Option<Filter> {
        let text = text.as_deref()?;
        let what = match What::parse(text, Timestamp::now(), &TimeZone::UTC) {
            Ok(what) => what,
            Err(error) => {
                self.refuse(key, &format!("{key}, column {}: {}", error.column, error.message));
                return None;
            }
        };
        let wrong = if what.is_empty() {
            "it is empty: leave it out to send everything"
        } else if what.since.is_some() || what.until.is_some() {
            "since: and until: have no place in it: records are sent as they come (start, and `relayscope export replay`, say from when on)"
        } else if what.not_for_lists().is_some() {
            "state:stuck is no record's: it is found out when somebody asks"
        } else {
            ""
        };
        if !wrong.is_empty() {
            self.refuse(key, &format!("{key} says what single records are sent, and {wrong}"));
            return None;
        }
        let readings = what.readings();
        Some(Filter::new(move |record| readings.iter().any(|reading| reading.matches(record))))
    }

    fn redaction(&mut self) -> export::Redaction {
        let Redact { addresses, subject, clients, users, message_ids } = self.written.redact;
        export::Redaction {
            addresses: addresses.into(),
            subject: subject.into(),
            clients: clients.into(),
            users: users.into(),
            message_ids: message_ids.into(),
            key: [0; 32], // the store's, at the start: a check of the configuration writes nothing
        }
    }

    fn tls(&mut self, used: bool) -> Option<ClientTls> {
        let it = self.written;
        if !used {
            for (key, is_set) in [("ca_file", it.ca_file.is_some()), ("certificate", it.certificate.is_some()), ("key", it.key.is_some())] {
                if is_set {
                    self.refuse(key, &format!("{key} is for TLS, and the url has none"));
                }
            }
        }
        let made = match (&it.certificate, &it.key) {
            (Some(chain), Some(key)) => ClientTls::with_certificate(it.ca_file.as_deref(), chain, key),
            (None, None) => ClientTls::new(it.ca_file.as_deref()),
            (Some(_), None) => return self.refused("certificate", Err("certificate needs its key beside it: key = \"…\"".to_owned())),
            (None, Some(_)) => return self.refused("key", Err("key needs its certificate beside it: certificate = \"…\"".to_owned())),
        };
        let of_own = |error: &ClientTlsError| matches!(error, ClientTlsError::Certificate(_) | ClientTlsError::Mismatch(_));
        let key = if made.as_ref().is_err_and(of_own) { "certificate" } else { "ca_file" };
        self.refused(key, made.map_err(|error| error.to_string()))
    }

    fn secret(&mut self) -> Option<Secret<String>> {
        let it = self.written;
        match (&it.secret_file, &it.secret_env) {
            (Some(_), Some(_)) => self.refused("secret_env", Err("secret_file and secret_env exclude each other".to_owned())),
            (Some(path), None) => self.refused("secret_file", secret::from_file(path).map_err(|why| format!("secret_file: {why}"))),
            (None, Some(name)) => self.refused("secret_env", secret::from_environment(name).map_err(|why| format!("secret_env: {why}"))),
            (None, None) => None,
        }
    }

    fn target(&mut self) -> Option<Target> {
        match self.written.kind {
            Kind::Syslog => self.syslog(),
            Kind::Http => self.http(),
            Kind::Splunk => self.splunk(),
            Kind::Elasticsearch => self.elasticsearch(),
            Kind::Otlp => self.otlp(),
            Kind::Gelf => self.gelf(),
            Kind::Kafka => self.kafka(),
            Kind::File => self.file(),
        }
    }

    fn syslog(&mut self) -> Option<Target> {
        let url = self.stream_url("udp://siem.example:514, tcp://siem.example:601 or tls://siem.example:6514")?;
        let it = self.written;
        let header = syslog::Header {
            facility: it.facility.into(),
            host_name: self.raw.host_name.clone().unwrap_or_default(),
            app_name: it.app_name.clone(),
        };
        if url.udp {
            if it.framing != Export::default().framing {
                self.refuse("framing", "framing is for tcp:// and tls://: over UDP each event is a datagram of its own");
            }
            self.tls(false)?;
            return Some(Target::SyslogUdp { to: udp::Options { host: url.host, port: url.port }, header });
        }
        let tls = self.tls(url.tls)?;
        let to = stream::Options { host: url.host, port: url.port, tls: url.tls.then_some(tls), framing: it.framing.into() };
        Some(Target::Syslog { to, header })
    }

    fn stream_url(&mut self, example: &str) -> Option<StreamUrl> {
        let wanted = format!("write url = \"…\", for example {example}");
        let Some(text) = self.written.url.as_deref() else { return self.refused("url", Err(format!("has no url: {wanted}"))) };
        let read = || {
            let (scheme, rest) = text.split_once("://")?;
            let (host, port) = rest.trim_end_matches('/').rsplit_once(':')?;
            let host = host.trim_matches(['[', ']']);
            let is_host = !host.is_empty() && !host.contains(['/', '@', '?', '#']) && !host.contains(char::is_whitespace);
            let (tls, udp) = match scheme {
                "udp" => (false, true),
                "tcp" => (false, false),
                "tls" => (true, false),
                _ => return None,
            };
            is_host.then_some(StreamUrl { tls, udp, host: host.to_owned(), port: port.parse().ok().filter(|port| *port != 0)? })
        };
        let url = read()
            .ok_or_else(|| format!("url = {:?} is none that {} can be sent to: {wanted}", without_login(text), self.written.kind.word()));
        self.refused("url", url)
    }

    fn http_url(&mut self, example: &str) -> Option<HttpUrl> {
        let Some(text) = self.written.url.as_deref() else {
            return self.refused("url", Err(format!("has no url: write for example url = \"{example}\"")));
        };
        let url = HttpUrl::parse(text).map_err(|why| format!("url {why}"));
        let url = self.refused("url", url)?;
        if !url.is_tls() && !is_near(url.host()) && (self.written.secret_file.is_some() || self.written.secret_env.is_some()) {
            let carries = !matches!(self.written.kind, Kind::Http);
            if carries {
                self.refuse("url", "the secret would travel in clear: write https://");
            }
        }
        Some(url)
    }

    /// Where the path goes on, a query would stand in its middle.
    fn no_query(&mut self, url: &HttpUrl) {
        if url.has_query() {
            let kind = self.written.kind.word();
            self.refuse("url", &format!("url has a query (\"?…\"), and kind = \"{kind}\" has none of yours: end it before the \"?\""));
        }
    }

    fn http(&mut self) -> Option<Target> {
        let url = self.http_url("https://collector.example/relayscope")?;
        let (tls, secret) = (self.tls(url.is_tls())?, self.secret());
        let it = self.written;
        let key = secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes()));
        if it.body == Body::Array && !self.is_json() {
            self.refuse("body", "body = \"array\" is for JSON events only");
        }
        Some(Target::Http(http::Options { url, tls, key, headers: Vec::new(), body: it.body.into(), single: false, gzip: it.gzip }))
    }

    fn splunk(&mut self) -> Option<Target> {
        let url = self.http_url("https://splunk.example:8088")?;
        self.no_query(&url);
        let (tls, secret) = (self.tls(url.is_tls())?, self.secret());
        let Some(secret) = secret else {
            let is_named = self.written.secret_file.is_some() || self.written.secret_env.is_some();
            return if is_named { None } else { self.refused("kind", Err("needs the collector's token: write secret_file".to_owned())) };
        };
        let it = self.written;
        let authorization = self.sensitive(format!("Splunk {}", secret.reveal()))?;
        Some(Target::Splunk(splunk::Options {
            channel: channel(&it.name, url.host()),
            url,
            tls,
            authorization,
            acknowledgement: it.acknowledgement,
            host: self.raw.node.clone().unwrap_or_default(),
            source: "relayscope".to_owned(),
            source_type: it.source_type.clone(),
            index: it.index.clone(),
            is_json: self.is_json(),
            gzip: it.gzip,
        }))
    }

    fn elasticsearch(&mut self) -> Option<Target> {
        let url = self.http_url("https://elastic.example:9200")?;
        self.no_query(&url);
        let (tls, secret) = (self.tls(url.is_tls())?, self.secret());
        let it = self.written;
        if !self.is_json() {
            self.refuse("format", "documents are JSON: format = \"ecs\", \"json\", \"ocsf\" or \"gelf\"");
        }
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        if let Some(secret) = secret {
            let value = match &it.user {
                Some(user) => format!("Basic {}", base64(&format!("{user}:{}", secret.reveal()))),
                None => format!("ApiKey {}", secret.reveal()),
            };
            headers.push((AUTHORIZATION, self.sensitive(value)?));
        } else if it.user.is_some() {
            self.refuse("user", "user needs a password: write secret_file");
        }
        let index = it.index.clone().unwrap_or_else(|| "logs-relayscope-default".to_owned());
        Some(Target::Elasticsearch(elasticsearch::Options { url, tls, index, headers, gzip: it.gzip }))
    }

    fn gelf(&mut self) -> Option<Target> {
        let it = self.written;
        if it.url.as_deref().is_some_and(|url| url.starts_with("http")) {
            let url = self.http_url("https://graylog.example:12201/gelf")?;
            let tls = self.tls(url.is_tls())?;
            let (key, headers, body, single) = (None, Vec::new(), it.body.into(), true);
            return Some(Target::GelfHttp(http::Options { url, tls, key, headers, body, single, gzip: it.gzip }));
        }
        let url = self.stream_url("udp://graylog.example:12201, tcp://…, tls://… or https://graylog.example:12201/gelf")?;
        if url.udp {
            self.tls(false)?;
            return Some(Target::GelfUdp { to: udp::Options { host: url.host, port: url.port }, gzip: it.gzip });
        }
        if it.gzip {
            self.refuse(
                "gzip",
                "gzip is for GELF over UDP and HTTP: on a stream a message ends with NUL, which compressed ones have within",
            );
        }
        let tls = self.tls(url.tls)?;
        Some(Target::Gelf(stream::Options { host: url.host, port: url.port, tls: url.tls.then_some(tls), framing: it.framing.into() }))
    }

    fn file(&mut self) -> Option<Target> {
        let it = self.written;
        let Some(path) = it.path.clone() else {
            return self.refused("kind", Err("has no path: write path = \"/var/log/relayscope/traces.jsonl\"".to_owned()));
        };
        if it.rotate_size.0 < 1 << 20 {
            self.refuse("rotate_size", "rotate_size is at least \"1 MiB\"");
        }
        Some(Target::File(file::Options { path, rotate: it.rotate_size.0, keep: it.keep }))
    }

    fn is_json(&self) -> bool {
        self.written.format.is_none_or(|format| EventFormat::from(format).is_json())
    }

    /// A header's value that no log shows.
    fn sensitive(&mut self, value: String) -> Option<HeaderValue> {
        let made = HeaderValue::from_str(&value).map_err(|_| "the secret has characters that no HTTP header can have".to_owned());
        let mut made = self.refused("secret_file", made)?;
        made.set_sensitive(true);
        Some(made)
    }
}

/// A URL as it may be repeated: somebody may have written a password into it, and the path of a webhook is one.
fn without_login(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (head, behind) = rest.find(['/', '?', '#']).map_or((rest, ""), |at| rest.split_at(at));
    let server = match head.rsplit_once('@') {
        Some((_, host)) => format!("[redacted]@{host}"),
        // The slash was the password's, perhaps.
        None if behind.contains('@') => "[redacted]".to_owned(),
        None => head.to_owned(),
    };
    let path = if behind.len() > 1 { "/[redacted]" } else { behind };
    format!("{scheme}{}{server}{path}", if scheme.is_empty() { "" } else { "://" })
}

fn is_near(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// A GUID of the sink's own, always the same.
fn channel(name: &str, host: &str) -> String {
    let hex: String = blake3::hash(format!("{name} {host}").as_bytes()).to_hex().chars().take(32).collect();
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default().to_owned();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

#[cfg(test)]
mod tests {
    use super::without_login;

    #[test]
    fn of_a_url_the_server_alone_is_repeated() {
        for (url, shown) in [
            ("https://c.example/receiver/hush", "https://c.example/[redacted]"),
            ("https://c.example?token=hush", "https://c.example/[redacted]"),
            ("https://c.example/h@ush", "https://[redacted]/[redacted]"),
            ("tls://bob:hush@c.example:1/", "tls://[redacted]@c.example:1/"),
            ("tls://bob:hu/sh@c.example:1", "tls://[redacted]/[redacted]"),
            ("bob:hush@c.example", "[redacted]@c.example"),
            ("gelf://c.example", "gelf://c.example"),
        ] {
            assert_eq!(without_login(url), shown);
        }
    }
}
