//! Stored form 4 made form 6: form 5 added the diagnosis of recipients, the provider, and what a report tells, form 6 the DKIM signatures.

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::id::RecordId;
use super::kept::Kept;
use super::kinds::{Act, Actor, Direction, Flag, RecordKind, Stage, State};
use super::leb128;
use super::record::{Envelope, Message, Origin, Outcome, Phases, Recipient, Reply, WallMicros};

pub(super) const VERSION: u16 = 4;

/// What form 5 adds to an upstream: no provider.
const UPSTREAM: &[u8] = &[0];

#[derive(Serialize, Deserialize)]
struct Recipient4 {
    address: String,
    params: Vec<String>,
    orcpt: Option<String>,
    reply: Option<Reply>,
    stage: Stage,
    by: Actor,
    state: State,
    // Never written in form 4, like those of the outcome.
    cause: Option<String>,
    rule: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Envelope4 {
    reverse_path: String,
    params: Vec<String>,
    size_declared: Option<u64>,
    envid: Option<String>,
    reply: Option<Reply>,
    recipients: Vec<Recipient4>,
    recipients_cut: u32,
}

#[derive(Serialize, Deserialize)]
struct Message4 {
    message_id: Option<String>,
    subject: Option<String>,
    from: Option<String>,
    to: Option<String>,
    date: Option<String>,
    in_reply_to: Option<String>,
    auto_submitted: Option<String>,
    received_count: u32,
    client_queue_id: Option<String>,
    size: u64,
    header_digest: Option<Digest>,
    body_digest: Option<Digest>,
    bare_newlines: u32,
}

#[derive(Serialize, Deserialize)]
struct Outcome4 {
    state: State,
    stage: Stage,
    by: Actor,
    reply: Option<Reply>,
    cause: Option<String>,
    act: Option<Act>,
    advice: Option<String>,
    rule: Option<String>,
    rules_version: Option<String>,
    upstream_queue_id: Option<String>,
    detail: Option<String>,
}

impl From<Envelope4> for Envelope {
    fn from(it: Envelope4) -> Self {
        let recipient = |it: Recipient4| Recipient {
            address: it.address,
            params: it.params,
            orcpt: it.orcpt,
            reply: it.reply,
            stage: it.stage,
            by: it.by,
            state: it.state,
            cause: None,
            act: None,
            rule: None,
        };
        Self {
            reverse_path: it.reverse_path,
            params: it.params,
            size_declared: it.size_declared,
            envid: it.envid,
            reply: it.reply,
            recipients: it.recipients.into_iter().map(recipient).collect(),
            recipients_cut: it.recipients_cut,
        }
    }
}

impl From<Message4> for Message {
    fn from(it: Message4) -> Self {
        Self {
            message_id: it.message_id,
            subject: it.subject,
            from: it.from,
            to: it.to,
            date: it.date,
            in_reply_to: it.in_reply_to,
            auto_submitted: it.auto_submitted,
            received_count: it.received_count,
            client_queue_id: it.client_queue_id,
            size: it.size,
            header_digest: it.header_digest,
            body_digest: it.body_digest,
            bare_newlines: it.bare_newlines,
            report: None,
            signatures: Vec::new(),
        }
    }
}

impl From<Outcome4> for Outcome {
    fn from(it: Outcome4) -> Self {
        Self { upstream_queue_id: it.upstream_queue_id, ..Self::of(it.state, it.stage, it.by, it.reply, it.detail) }
    }
}

/// A record on its way: what is still to be read, and what is made.
pub(super) struct Upgrade<'a> {
    rest: &'a [u8],
    made: Vec<u8>,
}

impl<'a> Upgrade<'a> {
    pub(super) fn of(octets: &'a [u8]) -> Self {
        Self { rest: octets, made: Vec::with_capacity(octets.len() + 64) }
    }

    /// What the newer form has and the older had not.
    pub(super) fn add(&mut self, octets: &[u8]) {
        self.made.extend_from_slice(octets);
    }

    /// The record, with what is the same from here on.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.made.extend_from_slice(self.rest);
        self.made
    }

    /// Fields that are the same in both forms.
    pub(super) fn same<T: Deserialize<'a>>(&mut self) -> Result<(), postcard::Error> {
        let (_, behind) = postcard::take_from_bytes::<T>(self.rest)?;
        self.made.extend_from_slice(self.rest.get(..self.rest.len() - behind.len()).unwrap_or_default());
        self.rest = behind;
        Ok(())
    }

    fn changed<Old: Deserialize<'a>, New: From<Old> + Serialize>(&mut self) -> Result<(), postcard::Error> {
        let (old, behind) = postcard::take_from_bytes::<Old>(self.rest)?;
        self.made = postcard::to_extend(&New::from(old), std::mem::take(&mut self.made))?;
        self.rest = behind;
        Ok(())
    }

    /// The upstream, which stands behind its length.
    fn upstream(&mut self) -> Result<(), postcard::Error> {
        let (upstream, behind) = postcard::take_from_bytes::<&[u8]>(self.rest)?;
        leb128::put(&mut self.made, (upstream.len() + UPSTREAM.len()) as u64);
        self.made.extend_from_slice(upstream);
        self.made.extend_from_slice(UPSTREAM);
        self.rest = behind;
        Ok(())
    }
}

/// The octets of a record of form 4 as form 6 has them.
pub(super) fn upgrade(kind: RecordKind, octets: &[u8]) -> Result<Vec<u8>, postcard::Error> {
    let mut it = Upgrade::of(octets);
    match kind {
        RecordKind::Transaction => {
            it.same::<(RecordId, RecordId, u32, Kept<Origin>, Option<String>, WallMicros, u64, String, Direction, &[u8])>()?;
            it.upstream()?;
            it.changed::<Envelope4, Envelope>()?;
            it.changed::<Message4, Message>()?;
            it.same::<Phases>()?;
            it.changed::<Outcome4, Outcome>()?;
        }
        RecordKind::Session => {
            it.same::<(RecordId, Kept<Origin>, Option<String>, WallMicros, u64, String, Direction, &[u8])>()?;
            it.upstream()?;
            it.same::<(Phases, u32)>()?;
            let (outcome, behind) = postcard::take_from_bytes::<Option<Outcome4>>(it.rest)?;
            it.made = postcard::to_extend(&outcome.map(Outcome::from), it.made)?;
            it.rest = behind;
        }
        RecordKind::Amendment => {
            it.same::<(RecordId, RecordId, WallMicros)>()?;
            it.changed::<Outcome4, Outcome>()?;
            it.same::<Vec<Flag>>()?;
            it.made.extend_from_slice(&[0, 0]); // nobody is diagnosed anew
        }
        RecordKind::Mark => {
            it.same::<(RecordId, RecordId, u32, Kept<Origin>, WallMicros, String, Direction, &[u8])>()?;
            it.upstream()?;
            it.changed::<Envelope4, Envelope>()?;
        }
        _ => {}
    }
    Ok(it.end())
}
