//! What a record can be found by: its keys.
//!
//! A key is what kind of thing it is and 40 bits of a hash of the thing. Hashes collide, so every hit is checked against the
//! record; 40 bits make that rare and keep a page of the index small.

use crate::trace::{Amendment, Client, Digest, Envelope, Outcome, Record, RecordId, RecordKind, Upstream};

use super::text;

/// The kind in the upper 8 of 48 bits, the hash below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(pub u64);

/// Kinds of keys. Their numbers stand in the index: a change needs a new version of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum KeyKind {
    Id = 1,
    Session = 2,
    MessageId = 3,
    MessageIdToken = 4,
    QueueId = 5,
    ReversePath = 6,
    Recipient = 7,
    HeaderFrom = 8,
    LocalPart = 9,
    Domain = 10,
    ClientIp = 11,
    State = 12,
    Stage = 13,
    Flag = 14,
    Kind = 15,
    Upstream = 16,
    Listener = 17,
    Code = 18,
    SubjectWord = 19,
    AuthUser = 20,
    Helo = 21,
    BodyDigest = 22,
    /// The id of the record that an amendment amends.
    Amends = 23,
}

impl Key {
    pub fn octets(kind: KeyKind, octets: &[u8]) -> Self {
        Self::hashed(kind, text::hash(octets.iter().copied()))
    }

    /// Case doesn't matter.
    pub fn text(kind: KeyKind, text: &str) -> Self {
        Self::hashed(kind, text::folded_hash(text))
    }

    pub fn id(kind: KeyKind, id: RecordId) -> Self {
        Self::octets(kind, &id.as_u128().to_le_bytes())
    }

    pub fn digest(digest: &Digest) -> Self {
        Self::octets(KeyKind::BodyDigest, &digest.0)
    }

    pub fn number(kind: KeyKind, number: u16) -> Self {
        Self::octets(kind, &number.to_le_bytes())
    }

    fn hashed(kind: KeyKind, hash: u64) -> Self {
        Self(u64::from(kind as u8) << 40 | hash >> 24)
    }
}

/// Collects the keys of a record, each once. Marks have none: they are no search results.
pub(super) fn keys_of(record: &Record, keys: &mut Vec<Key>) {
    let start = keys.len();
    collect(record, keys);
    keys[start..].sort_unstable();
    let mut kept = start;
    for at in start..keys.len() {
        if at == start || keys[at] != keys[kept - 1] {
            keys[kept] = keys[at];
            kept += 1;
        }
    }
    keys.truncate(kept);
}

/// The keys under which an amendment stands for the record that it amends.
pub(super) fn keys_of_amended(amendment: &Amendment, folded: Option<&Record>, keys: &mut Vec<Key>) {
    let start = keys.len();
    match folded {
        // The record's own id leads to the record itself.
        Some(folded) => {
            collect(folded, keys);
            keys.retain(|&key| key != Key::id(KeyKind::Id, folded.id()));
        }
        None => outcome(&amendment.outcome, keys),
    }
    keys.push(Key::id(KeyKind::Id, amendment.id));
    keys.push(Key::id(KeyKind::Amends, amendment.of));
    keys[start..].sort_unstable();
    keys.dedup();
}

fn collect(record: &Record, keys: &mut Vec<Key>) {
    if record.kind() == RecordKind::Mark {
        return;
    }
    keys.push(Key::id(KeyKind::Id, record.id()));
    keys.push(Key::number(KeyKind::Kind, record.kind() as u16));
    match record {
        Record::Transaction(it) => {
            keys.push(Key::id(KeyKind::Session, it.session_id));
            keys.push(Key::text(KeyKind::Listener, &it.listener));
            client(&it.client, keys);
            upstream(&it.upstream, keys);
            envelope(&it.envelope, keys);
            outcome(&it.outcome, keys);
            keys.extend(it.flags.iter().map(|&flag| Key::number(KeyKind::Flag, flag as u16)));
            let message = &it.message;
            if let Some(id) = &message.message_id {
                keys.push(Key::text(KeyKind::MessageId, id));
                keys.extend(text::tokens(id).map(|token| Key::text(KeyKind::MessageIdToken, token)));
            }
            if let Some(subject) = &message.subject {
                keys.extend(text::tokens(subject).map(|word| Key::text(KeyKind::SubjectWord, word)));
            }
            if let Some(address) = message.from.as_deref().map(text::address_in)
                && !text::same(address, &it.envelope.reverse_path)
            {
                keys.push(Key::text(KeyKind::HeaderFrom, address));
                self::address(address, keys);
            }
            keys.extend(message.client_queue_id.as_ref().map(|id| Key::text(KeyKind::QueueId, id)));
            keys.extend(message.body_digest.as_ref().map(Key::digest));
        }
        Record::Session(it) => {
            keys.push(Key::id(KeyKind::Session, it.id));
            keys.push(Key::text(KeyKind::Listener, &it.listener));
            client(&it.client, keys);
            upstream(&it.upstream, keys);
            it.outcome.iter().for_each(|it| outcome(it, keys));
            keys.push(Key::number(KeyKind::Stage, it.ended.stage as u16));
            keys.extend(it.flags.iter().map(|&flag| Key::number(KeyKind::Flag, flag as u16)));
        }
        Record::Amendment(_) | Record::Gap(_) | Record::Mark(_) => {}
    }
}

fn client(client: &Client, keys: &mut Vec<Key>) {
    keys.push(Key::octets(KeyKind::ClientIp, &text::address_octets(client.ip)));
    keys.extend(client.helo.as_ref().map(|helo| Key::text(KeyKind::Helo, helo)));
    keys.extend(client.auth.iter().filter_map(|auth| auth.user.as_ref()).map(|user| Key::text(KeyKind::AuthUser, user)));
}

fn upstream(upstream: &Upstream, keys: &mut Vec<Key>) {
    keys.push(Key::text(KeyKind::Upstream, &upstream.name));
    keys.extend(upstream.host.as_ref().map(|host| Key::text(KeyKind::Upstream, host)));
    keys.extend(upstream.auth.iter().filter_map(|auth| auth.user.as_ref()).map(|user| Key::text(KeyKind::AuthUser, user)));
}

fn envelope(envelope: &Envelope, keys: &mut Vec<Key>) {
    keys.push(Key::text(KeyKind::ReversePath, &envelope.reverse_path));
    address(&envelope.reverse_path, keys);
    for recipient in &envelope.recipients {
        keys.push(Key::text(KeyKind::Recipient, &recipient.address));
        address(&recipient.address, keys);
        keys.push(Key::number(KeyKind::State, recipient.state as u16));
        keys.push(Key::number(KeyKind::Stage, recipient.stage as u16));
        keys.extend(recipient.reply.as_ref().map(|reply| Key::number(KeyKind::Code, reply.code)));
    }
}

fn address(address: &str, keys: &mut Vec<Key>) {
    let (local_part, domain) = text::split_address(address);
    keys.push(Key::text(KeyKind::LocalPart, local_part));
    keys.extend(domain.map(|domain| Key::text(KeyKind::Domain, domain)));
}

fn outcome(outcome: &Outcome, keys: &mut Vec<Key>) {
    keys.push(Key::number(KeyKind::State, outcome.state as u16));
    keys.push(Key::number(KeyKind::Stage, outcome.stage as u16));
    keys.extend(outcome.reply.as_ref().map(|reply| Key::number(KeyKind::Code, reply.code)));
    keys.extend(outcome.upstream_queue_id.as_ref().map(|id| Key::text(KeyKind::QueueId, id)));
}
