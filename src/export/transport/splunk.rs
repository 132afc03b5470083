//! Splunk's HTTP Event Collector. With acknowledgement a batch counts only when the indexers have it: batches go on meanwhile, up to a bound.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::http::{TIMEOUT, of, packed, refusal};
use super::{Failure, FailureKind, Taken, shown};
use crate::export::batch::{Batch, Event};
use crate::net::http_client::{HttpClient, HttpUrl};
use crate::net::tls::ClientTls;
use crate::store::Cursor;

/// Batches whose acknowledgement may be awaited at the same time: their octets aren't kept, only their places.
const OUTSTANDING: usize = 64;
/// Indexers that don't acknowledge within that time have lost it.
const UNACKNOWLEDGED: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 120 });
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// At the end, acknowledgements are awaited so long.
const FAREWELL: Duration = Duration::from_secs(5);

/// Where to.
#[derive(Debug, Clone)]
pub struct Options {
    pub url: HttpUrl,
    pub tls: ClientTls,
    /// `Splunk TOKEN`, marked as a secret.
    pub authorization: HeaderValue,
    /// Whether the token has indexer acknowledgement.
    pub acknowledgement: bool,
    /// A GUID that stands for this sink (`X-Splunk-Request-Channel`).
    pub channel: String,
    pub host: String,
    pub source: String,
    pub source_type: String,
    pub index: Option<String>,
    /// Events are JSON, and stand in the envelope as they are; of other formats they are a text in it.
    pub is_json: bool,
    pub gzip: bool,
}

/// A batch that was taken and may not be indexed yet.
#[derive(Debug)]
struct Outstanding {
    ack: u64,
    before: Cursor,
    after: Cursor,
    since: Instant,
    /// A collector tells of each acknowledgement once.
    indexed: bool,
}

/// A collector.
#[derive(Debug)]
pub struct Splunk {
    options: Options,
    client: HttpClient,
    /// Up to here all is acknowledged.
    at: Cursor,
    outstanding: VecDeque<Outstanding>,
    /// When it was asked last, or there was something to ask for; and how long it is left alone then.
    asked: Instant,
    pause: Duration,
}

/// Codes by which the collector refuses events for what is in them: no data, invalid data format, no event, an empty one, fields it can't take
/// (<https://docs.splunk.com/Documentation/Splunk/latest/Data/TroubleshootHTTPEventCollector>). Others are of the token, the index, the channel.
const OF_EVENTS: [i64; 5] = [5, 6, 12, 13, 15];

/// What stands around each event.
#[derive(Serialize)]
struct Envelope<'a> {
    time: f64,
    host: &'a str,
    source: &'a str,
    sourcetype: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Collected {
    code: i64,
    #[serde(default)]
    text: String,
    ack_id: Option<u64>,
    #[serde(rename = "invalid-event-number")]
    invalid_event_number: Option<usize>,
}

#[derive(Deserialize)]
struct Acknowledged {
    acks: BTreeMap<u64, bool>,
}

impl Splunk {
    pub fn new(options: Options, at: Cursor) -> Self {
        let client = HttpClient::new(options.url.clone(), options.tls.clone(), TIMEOUT);
        Self { options, client, at, outstanding: VecDeque::new(), asked: Instant::now(), pause: SHORTEST_PAUSE }
    }

    fn path(&self, of: &str) -> String {
        let base = if self.options.url.is_bare() { "/services/collector" } else { self.options.url.path() };
        let base = base.trim_end_matches('/');
        let base = base.strip_suffix("/event").unwrap_or(base);
        format!("{base}/{of}")
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.options.authorization.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Ok(channel) = HeaderValue::from_str(&self.options.channel) {
            headers.insert(HeaderName::from_static("x-splunk-request-channel"), channel);
        }
        headers
    }

    pub async fn send(&mut self, batch: &Batch) -> Result<Taken, Failure> {
        while self.outstanding.len() >= OUTSTANDING {
            tokio::time::sleep(self.pause).await;
            self.ask().await?;
        }
        let mut body = Vec::with_capacity(batch.len() + batch.events().len() * 160);
        for (event, octets) in batch.iter() {
            self.wrap(event, octets, &mut body)?;
        }
        let mut headers = self.headers();
        let body = packed(body, self.options.gzip, &mut headers)?;
        let path = self.path("event");
        let answer = self.client.post(&path, &headers, body).await.map_err(of)?;
        let mut said: Option<Collected> = serde_json::from_slice(&answer.body).ok();
        if let Some(said) = &mut said {
            said.text = shown(&said.text);
        }
        if let Some(Collected { code, text, .. }) = &said
            && answer.status == hyper::StatusCode::BAD_REQUEST
            && !OF_EVENTS.contains(code)
        {
            return Err(Failure::passing(format!("{} answered: {text} (code {code})", self.options.url)));
        }
        if let Some(Collected { invalid_event_number: Some(number), text, code, .. }) = &said
            && answer.status == hyper::StatusCode::BAD_REQUEST
            && *number < batch.events().len()
        {
            // Nothing of the batch was taken. The one event is left out by sending fewer and fewer.
            let why = format!("{} refused event {number}: {text} (code {code})", self.options.url);
            return Err(Failure { kind: FailureKind::TooMuch, ..Failure::passing(why) });
        }
        refusal(&self.options.url, &answer)?;
        let url = &self.options.url;
        let said = said.ok_or_else(|| Failure::passing(format!("the answer of {url} is none of a collector's")))?;
        if said.code != 0 {
            return Err(Failure::passing(format!("{url} answered: {} (code {})", said.text, said.code)));
        }
        match (self.options.acknowledgement, said.ack_id) {
            (false, _) => self.at = batch.after,
            (true, Some(ack)) => {
                if let (Some(first), Some(last)) = (self.outstanding.front(), self.outstanding.back())
                    && ack <= last.ack
                {
                    // Numbers that begin anew would acknowledge batches that the collector has lost.
                    let (why, resume) =
                        (format!("{url} numbers its acknowledgements anew: what it hadn't acknowledged is sent again"), first.before);
                    self.restart(resume);
                    return Err(Failure { resume: Some(resume), ..Failure::passing(why) });
                }
                if self.outstanding.is_empty() {
                    (self.asked, self.pause) = (Instant::now(), SHORTEST_PAUSE);
                }
                self.outstanding.push_back(Outstanding {
                    ack,
                    before: batch.before,
                    after: batch.after,
                    since: Instant::now(),
                    indexed: false,
                });
            }
            (true, None) => {
                let why = format!(
                    "{url} acknowledges nothing: switch on \"indexer acknowledgment\" for the token, or write acknowledgement = false"
                );
                return Err(Failure::passing(why));
            }
        }
        Ok(Taken::default())
    }

    fn wrap(&self, event: &Event, octets: &[u8], body: &mut Vec<u8>) -> Result<(), Failure> {
        let Options { host, source, source_type, index, is_json, .. } = &self.options;
        let envelope = Envelope { time: event.meta.at as f64 / 1e6, host, source, sourcetype: source_type, index: index.as_deref() };
        serde_json::to_writer(&mut *body, &envelope).map_err(Failure::passing)?;
        body.pop(); // the closing brace: the event is one field more
        body.extend_from_slice(b",\"event\":");
        if *is_json {
            body.extend_from_slice(octets);
        } else {
            serde_json::to_writer(&mut *body, &String::from_utf8_lossy(octets)).map_err(Failure::passing)?;
        }
        body.extend_from_slice(b"}\n");
        Ok(())
    }

    /// Asks which batches are indexed. The pause before the next question grows while none is.
    ///
    /// # Errors
    /// The collector can't be asked, or has lost a batch: then from where to go on.
    pub async fn ask(&mut self) -> Result<(), Failure> {
        self.asked = Instant::now();
        let acks: Vec<u64> = self.outstanding.iter().filter(|it| !it.indexed).map(|it| it.ack).collect();
        let body = serde_json::to_vec(&serde_json::json!({ "acks": acks })).map_err(Failure::passing)?;
        let path = format!("{}?channel={}", self.path("ack"), self.options.channel);
        let headers = self.headers();
        let answer = self.client.post(&path, &headers, Bytes::from(body)).await.map_err(of)?;
        refusal(&self.options.url, &answer).map_err(|failure| Failure { kind: FailureKind::Passing, ..failure })?;
        let url = &self.options.url;
        let said: Acknowledged = serde_json::from_slice(&answer.body)
            .map_err(|error| Failure::passing(format!("{url} told nothing of acknowledgements: {error}")))?;
        for it in &mut self.outstanding {
            it.indexed |= said.acks.get(&it.ack).copied().unwrap_or(false);
        }
        let before = self.outstanding.len();
        while let Some(first) = self.outstanding.pop_front_if(|it| it.indexed) {
            self.at = first.after;
        }
        self.pause = if self.outstanding.len() < before { SHORTEST_PAUSE } else { (self.pause * 2).min(LONGEST_PAUSE) };
        match self.outstanding.front() {
            Some(first) if first.since.elapsed() > UNACKNOWLEDGED => {
                let (why, resume) = (format!("{url} hasn't acknowledged a batch for {} s", UNACKNOWLEDGED.as_secs()), first.before);
                self.restart(resume);
                Err(Failure { resume: Some(resume), ..Failure::passing(why) })
            }
            _ => Ok(()),
        }
    }

    /// Returns when it is time to ask for acknowledgements.
    pub async fn attend(&self) {
        if self.outstanding.is_empty() {
            return std::future::pending().await;
        }
        // Not from now on: whoever waits looks at other things in between.
        tokio::time::sleep(self.pause.saturating_sub(self.asked.elapsed())).await;
    }

    pub fn pass(&mut self, after: Cursor) {
        match self.outstanding.back_mut() {
            Some(last) => last.after = after,
            None => self.at = after,
        }
    }

    pub fn restart(&mut self, at: Cursor) {
        self.outstanding.clear();
        self.at = at;
    }

    pub fn is_acknowledging(&self) -> bool {
        self.options.acknowledgement
    }

    pub fn acknowledged(&self) -> Cursor {
        self.at
    }

    pub async fn finish(&mut self) {
        let asked = async {
            while !self.outstanding.is_empty() && self.ask().await.is_ok() {
                tokio::time::sleep(SHORTEST_PAUSE).await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL, asked).await;
    }
}
