//! Elasticsearch and OpenSearch by `_bulk`: each document has its record's id, so that one that comes twice is there once.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::http::{TIMEOUT, of, packed, refusal};
use super::{Failure, Taken, shown};
use crate::export::batch::Batch;
use crate::net::http_client::{HttpClient, HttpUrl};
use crate::net::tls::ClientTls;
use crate::store::Cursor;

/// Only what is looked at of the answer.
const ASK: &str = "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason";

/// Where to.
#[derive(Debug, Clone)]
pub struct Options {
    pub url: HttpUrl,
    pub tls: ClientTls,
    /// Index, or data stream.
    pub index: String,
    /// Sent with each post; `Authorization` among them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub gzip: bool,
}

/// A receiver that takes documents.
#[derive(Debug)]
pub struct Elasticsearch {
    options: Options,
    client: HttpClient,
    pub at: Cursor,
}

#[derive(Deserialize)]
struct BulkAnswer {
    errors: bool,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    create: Option<Created>,
}

#[derive(Deserialize)]
struct Created {
    status: u16,
    error: Option<Why>,
}

#[derive(Deserialize)]
struct Why {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    reason: String,
}

/// Errors of status 400 that a document has brought about. Others are of its index: closed, or at its limit of shards.
const OF_DOCUMENTS: [&str; 5] = [
    "mapper_parsing_exception",
    "document_parsing_exception",
    "strict_dynamic_mapping_exception",
    "illegal_argument_exception",
    "mapper_exception",
];

impl Created {
    /// Whether it is the document that was found wrong.
    fn is_of_document(&self) -> bool {
        self.error.as_ref().is_none_or(|error| OF_DOCUMENTS.contains(&error.kind.as_str()))
    }
}

impl Elasticsearch {
    pub fn new(options: Options, at: Cursor) -> Self {
        let client = HttpClient::new(options.url.clone(), options.tls.clone(), TIMEOUT);
        Self { options, client, at }
    }

    pub async fn send(&mut self, batch: &Batch) -> Result<Taken, Failure> {
        let index = serde_json::to_string(&self.options.index).map_err(Failure::passing)?;
        let mut body = Vec::with_capacity(batch.len() + batch.events().len() * (index.len() + 64));
        for (event, octets) in batch.iter() {
            body.extend_from_slice(format!("{{\"create\":{{\"_index\":{index},\"_id\":\"{}\"}}}}\n", event.meta.id).as_bytes());
            body.extend_from_slice(octets);
            body.push(b'\n');
        }
        let mut headers: HeaderMap = self.options.headers.iter().cloned().collect();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        let body = packed(body, self.options.gzip, &mut headers)?;
        let base = self.options.url.path().trim_end_matches('/').to_owned();
        let answer = self.client.post(&format!("{base}{ASK}"), &headers, body).await.map_err(of)?;
        refusal(&self.options.url, &answer)?;
        self.judge(batch, &answer.body)
    }

    /// What became of each document. One that is there already is taken; one that may be taken later is where to go on.
    fn judge(&mut self, batch: &Batch, body: &Bytes) -> Result<Taken, Failure> {
        let url = &self.options.url;
        let answer: BulkAnswer =
            serde_json::from_slice(body).map_err(|error| Failure::passing(format!("the answer of {url} is none to _bulk: {error}")))?;
        let mut taken = Taken::default();
        if !answer.errors {
            self.at = batch.after;
            return Ok(taken);
        }
        if answer.items.len() != batch.events().len() {
            return Err(Failure::passing(format!("{url} answered for {} of {} events", answer.items.len(), batch.events().len())));
        }
        let mut before = batch.before;
        for (number, (item, event)) in answer.items.iter().zip(batch.events()).enumerate() {
            let why = |created: &Created| match &created.error {
                Some(why) => format!("status {}, {}: {}", created.status, shown(&why.kind), shown(&why.reason)),
                None => format!("status {}", created.status),
            };
            match &item.create {
                Some(created) if created.status < 300 || created.status == 409 => {}
                Some(created) if created.status == 413 || (created.status == 400 && created.is_of_document()) => {
                    taken.refused.push((number, why(created)))
                }
                other => {
                    let why = other.as_ref().map_or("no status".to_owned(), why);
                    let why = format!("{url} didn't take document {}: {why}", event.meta.id);
                    // What stands before it is taken; what follows comes twice, and is there once. Refusals before it are told then.
                    let resume = (taken.refused.is_empty()).then_some(before);
                    self.at = resume.unwrap_or(batch.before);
                    let taken = if resume.is_some() { number } else { 0 };
                    return Err(Failure { resume: Some(self.at), taken, ..Failure::passing(why) });
                }
            }
            before = event.after;
        }
        self.at = batch.after;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::format::{Context, Encoder, Format};
    use crate::export::redact::Redaction;
    use crate::store::samples;

    #[test]
    fn what_stands_before_a_document_that_isnt_taken_now_is_taken() {
        let at = |number: u32| -> Cursor { format!("2026-11-27.{number}").parse().unwrap() };
        let (mut batch, mut encoder) = (Batch::new(at(0)), Encoder::new(Format::Ecs, Context::new("node")));
        for number in 0..3 {
            let record = samples::transaction(u64::from(number));
            batch.add(at(2 * number + 1), |_| None);
            batch.add(at(2 * number + 2), |out| encoder.encode(&Redaction::default().apply(&record, None), out));
        }
        let url = HttpUrl::parse("https://elastic.example:9200").unwrap();
        let (tls, index) = (ClientTls::new(None).unwrap(), "logs".to_owned());
        let mut receiver = Elasticsearch::new(Options { url, tls, index, headers: Vec::new(), gzip: false }, at(0));
        let mut judged = |statuses: [u16; 3]| {
            let items: Vec<_> = statuses.iter().map(|status| serde_json::json!({ "create": { "status": status } })).collect();
            let body = serde_json::json!({ "errors": true, "items": items }).to_string();
            let failure = receiver.judge(&batch, &Bytes::from(body)).unwrap_err();
            (failure.taken, failure.resume)
        };
        assert_eq!(judged([201, 409, 429]), (2, Some(at(4))));
        assert_eq!(judged([503, 201, 201]), (0, Some(at(0))));
        assert_eq!(judged([413, 201, 503]), (0, Some(at(0))), "a refusal before it is told when all of it is sent again");
        let part = batch.first(2).unwrap();
        assert_eq!((part.left_out, part.missing, part.octets > 0), (2, 0, true));
    }
}
