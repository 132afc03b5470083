//! Stored form 5 made form 6, which adds the DKIM signatures of a message.

use super::digest::Digest;
use super::id::RecordId;
use super::kept::Kept;
use super::kinds::{Direction, RecordKind};
use super::record::{Envelope, Origin, Report, WallMicros};
use super::stored_v4::Upgrade;

pub(super) const VERSION: u16 = 5;

/// What form 6 adds to a message: no signatures.
const SIGNATURES: &[u8] = &[0];

type Text = Option<String>;
/// Message-ID, subject, from, to, date, in-reply-to, auto-submitted, hops, queue id, size, digests, bare newlines, report.
type Message5 = (Text, Text, Text, Text, Text, Text, Text, u32, Text, u64, Option<Digest>, Option<Digest>, u32, Option<Box<Report>>);

/// The octets of a record of form 5 as form 6 has them.
pub(super) fn upgrade(kind: RecordKind, octets: &[u8]) -> Result<Vec<u8>, postcard::Error> {
    let mut it = Upgrade::of(octets);
    if kind == RecordKind::Transaction {
        it.same::<(RecordId, RecordId, u32, Kept<Origin>, Option<String>, WallMicros, u64, String, Direction, &[u8], &[u8])>()?;
        it.same::<Envelope>()?;
        it.same::<Message5>()?;
        it.add(SIGNATURES);
    }
    Ok(it.end())
}
