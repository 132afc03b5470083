//! `kind = "otlp"`: what is sent, over HTTP or gRPC, and where the secret stands.

use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING,
};

use super::{One, base64};
use crate::config::export::{Export, Protocol, Signal};
use crate::export::format::otlp::Signals;
use crate::export::transport::{Target, otlp};
use crate::net::http_client::HttpUrl;
use crate::relay::options::Secret;

/// Headers that each post has of its own.
const OWN_HEADERS: [HeaderName; 6] = [HOST, CONNECTION, CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING];

/// What is added to a url over HTTP.
const PATHS: [&str; 3] = ["/v1/logs", "/v1/traces", "/v1/metrics"];

impl One<'_> {
    pub(super) fn otlp(&mut self) -> Option<Target> {
        let it = self.written;
        let url = match it.protocol {
            Protocol::Http => self.http_url("https://collector.example:4318")?,
            Protocol::Grpc => self.http_url("https://collector.example:4317")?,
        };
        let (tls, secret) = (self.tls(url.is_tls())?, self.secret());
        let headers = self.otlp_headers(secret)?;
        self.fitting(&url);
        if it.signals.is_empty() {
            self.refuse("signals", "signals = [] sends nothing: write for example [\"logs\", \"traces\", \"metrics\"]");
        }
        let has = |signal: Signal| it.signals.contains(&signal);
        if it.metrics_interval != Export::default().metrics_interval && !has(Signal::Metrics) {
            self.refuse("metrics_interval", "metrics_interval is for signals with \"metrics\" among them");
        }
        let signals = Signals { logs: has(Signal::Logs), traces: has(Signal::Traces) };
        if has(Signal::Metrics) && !signals.any() {
            let of_records = [("include", it.include.is_some()), ("exclude", it.exclude.is_some()), ("timeline", it.timeline)];
            for (key, _) in of_records.into_iter().filter(|(_, is_set)| *is_set) {
                self.refuse(key, &format!("{key} is for logs and traces, and signals has \"metrics\" alone: remove it"));
            }
        }
        Some(Target::Otlp(otlp::Options {
            url,
            protocol: it.protocol.into(),
            tls,
            headers,
            gzip: it.gzip,
            signals,
            metrics_every: has(Signal::Metrics).then_some(it.metrics_interval.0),
            node: self.raw.node.clone().unwrap_or_default(),
        }))
    }

    /// Whether it is a url of the protocol that is spoken.
    fn fitting(&mut self, url: &HttpUrl) {
        let path = url.path().trim_end_matches('/');
        match self.written.protocol {
            Protocol::Http if path.contains('?') || PATHS.iter().any(|end| path.ends_with(end)) => {
                self.refuse("url", "write url without /v1/logs, /v1/traces, /v1/metrics and a query: the paths are added to it");
            }
            Protocol::Grpc if !url.is_bare() => {
                self.refuse("url", "gRPC has paths of its own: write url without one, for example https://collector.example:4317");
            }
            Protocol::Http | Protocol::Grpc => {}
        }
        match (self.written.protocol, url.port()) {
            (Protocol::Http, 4317) => {
                self.refuse("url", "port 4317 is for OTLP over gRPC, and this is OTLP over HTTP: write protocol = \"grpc\", or port 4318");
            }
            (Protocol::Grpc, 4318) => {
                self.refuse("url", "port 4318 is for OTLP over HTTP, and this is OTLP over gRPC: write port 4317, or leave protocol out");
            }
            _ => {}
        }
    }

    /// The secret as the receiver wants it: a header of its own, a password, or a bearer token (RFC 6750).
    fn otlp_headers(&mut self, secret: Option<Secret<String>>) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let it = self.written;
        let Some(secret) = secret else {
            let needing = [("user", it.user.is_some()), ("secret_header", it.secret_header.is_some())];
            for (key, _) in needing.into_iter().filter(|(_, is_set)| *is_set) {
                self.refuse(key, &format!("{key} needs a secret: write secret_file"));
            }
            return Some(Vec::new());
        };
        let (name, value) = match (&it.user, &it.secret_header) {
            (Some(_), Some(_)) => return self.refused("secret_header", Err("user and secret_header exclude each other".to_owned())),
            (Some(user), None) => (AUTHORIZATION, format!("Basic {}", base64(&format!("{user}:{}", secret.reveal())))),
            (None, None) => (AUTHORIZATION, format!("Bearer {}", secret.reveal())),
            (None, Some(name)) => {
                let header = HeaderName::from_bytes(name.as_bytes()).ok().filter(|header| !OWN_HEADERS.contains(header));
                let header =
                    header.ok_or_else(|| format!("secret_header = {name:?} is no header for a secret: write for example \"X-API-Key\""));
                (self.refused("secret_header", header)?, secret.reveal().clone())
            }
        };
        Some(vec![(name, self.sensitive(value)?)])
    }
}
