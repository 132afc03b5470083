//! The stored form: postcard, one explicit decoder per version.
//!
//! A transaction or a session ends with its timeline, which is kept apart later: `summary | timeline | octets of the timeline u32`.
//! Other kinds are a summary and nothing else.

use postcard::ser_flavors::Flavor;
use serde::Serialize;
use thiserror::Error;

use super::kinds::RecordKind;
use super::record::{Mark, MarkView, Message, Record};
use super::timeline::Timeline;
use super::{stored_v3, stored_v4, stored_v5};

/// Version of the stored form written by this build; it stands in every file's header.
pub const VERSION: u16 = 6;
/// Octets behind a timeline that say how long it is.
const LENGTH: usize = 4;

#[derive(Debug, Error)]
pub enum DecodeError {
    #[error("the record is of stored form {found}; this build reads up to {VERSION}: use a newer relayscope")]
    Newer { found: u16 },
    #[error(
        "the records are of stored form {found}, which only builds before the first release wrote: move the store away, or read it with the \
         relayscope that wrote it"
    )]
    UnknownVersion { found: u16 },
    #[error("the record's octets do not end with the length of its timeline")]
    Length,
    #[error("the record's octets do not decode: {0}")]
    Malformed(#[from] postcard::Error),
}

/// Appends the record's octets to `out`.
///
/// # Errors
/// Only if postcard refuses a value, which none of the record types can bring about.
pub fn encode(record: &Record, out: Vec<u8>) -> Result<Vec<u8>, postcard::Error> {
    match record {
        Record::Transaction(it) => Ok(with_length(append(it, out)?, &it.timeline)),
        Record::Session(it) => Ok(with_length(append(it, out)?, &it.timeline)),
        Record::Amendment(it) => append(it, out),
        Record::Gap(it) => append(it, out),
        Record::Mark(it) => append_behind(append(it, out)?, it.message.as_deref()),
        Record::Log(it) => append(it, out),
        Record::Audit(it) => append(it, out),
        Record::Incident(it) => append(it, out),
    }
}

/// Appends a mark's octets to `out`: those of the same mark as a record.
///
/// # Errors
/// As [`encode`].
pub fn encode_mark(mark: &MarkView<'_>, out: Vec<u8>) -> Result<Vec<u8>, postcard::Error> {
    append_behind(append(mark, out)?, mark.message)
}

/// What a mark knows of its message: nothing, in most.
fn append_behind(out: Vec<u8>, message: Option<&Message>) -> Result<Vec<u8>, postcard::Error> {
    match message {
        Some(message) => append(message, out),
        None => Ok(out),
    }
}

fn append<T: Serialize>(value: &T, out: Vec<u8>) -> Result<Vec<u8>, postcard::Error> {
    postcard::serialize_with_flavor(value, Whole(out))
}

/// Takes texts and packed parts whole, as one copy each: `postcard::to_extend` appends one octet after the other, which took a twelfth of
/// all our own time of a message.
struct Whole(Vec<u8>);

impl Flavor for Whole {
    type Output = Vec<u8>;

    fn try_extend(&mut self, octets: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(octets);
        Ok(())
    }

    fn try_push(&mut self, octet: u8) -> postcard::Result<()> {
        self.0.push(octet);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.0)
    }
}

fn with_length(mut out: Vec<u8>, timeline: &Timeline) -> Vec<u8> {
    out.extend_from_slice(&(timeline.stored_octets() as u32).to_le_bytes());
    out
}

/// The octets of a record's summary and those of its timeline; the latter are none for kinds without one.
///
/// # Errors
/// The octets are no record's of that kind.
pub fn split(kind: RecordKind, octets: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    if !has_timeline(kind) {
        return Ok((octets, &[]));
    }
    let (both, length) = octets.split_last_chunk::<LENGTH>().ok_or(DecodeError::Length)?;
    let at = both.len().checked_sub(u32::from_le_bytes(*length) as usize).ok_or(DecodeError::Length)?;
    Ok(both.split_at(at))
}

/// Whether records of that kind end with a timeline.
pub fn has_timeline(kind: RecordKind) -> bool {
    matches!(kind, RecordKind::Transaction | RecordKind::Session)
}

/// Reads a record of the given version and kind.
///
/// # Errors
/// A version or kind this build doesn't know, or octets that don't decode.
pub fn decode(version: u16, kind: RecordKind, octets: &[u8]) -> Result<Record, DecodeError> {
    readable(version)?;
    let (summary, timeline) = split(kind, octets)?;
    decode_parts(version, kind, summary, timeline)
}

/// Reads a record whose timeline lies apart; without one, it has an empty timeline.
///
/// # Errors
/// As [`decode`].
pub fn decode_parts(version: u16, kind: RecordKind, summary: &[u8], timeline: &[u8]) -> Result<Record, DecodeError> {
    readable(version)?;
    let octets = match timeline {
        [] if has_timeline(kind) => [summary, EMPTY_TIMELINE].concat(),
        [] => summary.to_vec(),
        timeline => [summary, timeline].concat(),
    };
    match version {
        stored_v3::VERSION => decode_v6(kind, &stored_v4::upgrade(kind, &stored_v3::upgrade(kind, &octets)?)?),
        stored_v4::VERSION => decode_v6(kind, &stored_v4::upgrade(kind, &octets)?),
        stored_v5::VERSION => decode_v6(kind, &stored_v5::upgrade(kind, &octets)?),
        _ => decode_v6(kind, &octets),
    }
}

/// A timeline without a line.
const EMPTY_TIMELINE: &[u8] = &[0, 0];

/// Whether a timeline of so many octets has any lines.
pub fn has_lines(timeline_octets: usize) -> bool {
    timeline_octets > EMPTY_TIMELINE.len()
}

/// Whether this build reads records of that version.
///
/// # Errors
/// It doesn't, and why.
pub fn readable(version: u16) -> Result<(), DecodeError> {
    match version {
        stored_v3::VERSION..=VERSION => Ok(()),
        // 1 and 2 were written by builds before the first release, and by none after.
        0..stored_v3::VERSION => Err(DecodeError::UnknownVersion { found: version }),
        newer => Err(DecodeError::Newer { found: newer }),
    }
}

fn decode_v6(kind: RecordKind, octets: &[u8]) -> Result<Record, DecodeError> {
    Ok(match kind {
        RecordKind::Transaction => Record::Transaction(postcard::from_bytes(octets)?),
        RecordKind::Session => Record::Session(postcard::from_bytes(octets)?),
        RecordKind::Amendment => Record::Amendment(postcard::from_bytes(octets)?),
        RecordKind::Gap => Record::Gap(postcard::from_bytes(octets)?),
        RecordKind::Mark => Record::Mark(Box::new(mark(octets)?)),
        RecordKind::Log => Record::Log(postcard::from_bytes(octets)?),
        RecordKind::Audit => Record::Audit(postcard::from_bytes(octets)?),
        RecordKind::Incident => Record::Incident(postcard::from_bytes(octets)?),
    })
}

fn mark(octets: &[u8]) -> Result<Mark, postcard::Error> {
    let (mut mark, behind): (Mark, _) = postcard::take_from_bytes(octets)?;
    if !behind.is_empty() {
        mark.message = Some(Box::new(postcard::from_bytes(behind)?));
    }
    Ok(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_timeline_is_what_it_is_taken_for() {
        assert_eq!(postcard::to_stdvec(&Timeline::default()).unwrap(), EMPTY_TIMELINE);
    }

    #[test]
    fn octets_that_are_no_record_do_not_split() {
        for octets in [&[][..], &[1, 2, 3], &[9, 1, 0, 0], &[9, 9, 3, 0, 0, 0], &[0xFF; 12]] {
            assert!(matches!(split(RecordKind::Transaction, octets), Err(DecodeError::Length)), "{octets:?}");
            assert_eq!(split(RecordKind::Gap, octets).unwrap(), (octets, &[][..]));
        }
    }
}
