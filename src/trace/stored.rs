//! The stored form: postcard, one explicit decoder per version.

use thiserror::Error;

use super::kinds::RecordKind;
use super::record::{MarkView, Record};

/// Version of the stored form written by this build; it stands in every file's header.
pub const VERSION: u16 = 2;

#[derive(Debug, Error)]
pub enum DecodeError {
    #[error("the record is of stored form {found}; this build reads up to {VERSION}: use a newer relayscope")]
    Newer { found: u16 },
    #[error(
        "the records are of stored form {found}, which only builds before the first release wrote: move the store away, or read it with the \
         relayscope that wrote it"
    )]
    UnknownVersion { found: u16 },
    #[error("record kind {kind} has no stored form yet")]
    UnknownKind { kind: RecordKind },
    #[error("the record's octets do not decode: {0}")]
    Malformed(#[from] postcard::Error),
}

/// Appends the record's octets to `out`.
///
/// # Errors
/// Only if postcard refuses a value, which none of the record types can bring about.
pub fn encode(record: &Record, out: Vec<u8>) -> Result<Vec<u8>, postcard::Error> {
    match record {
        Record::Transaction(it) => postcard::to_extend(it, out),
        Record::Session(it) => postcard::to_extend(it, out),
        Record::Amendment(it) => postcard::to_extend(it, out),
        Record::Gap(it) => postcard::to_extend(it, out),
        Record::Mark(it) => postcard::to_extend(it, out),
    }
}

/// Appends a mark's octets to `out`: those of the same mark as a record.
///
/// # Errors
/// As [`encode`].
pub fn encode_mark(mark: &MarkView<'_>, out: Vec<u8>) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_extend(mark, out)
}

/// Reads a record of the given version and kind.
///
/// # Errors
/// A version or kind this build doesn't know, or octets that don't decode.
pub fn decode(version: u16, kind: RecordKind, octets: &[u8]) -> Result<Record, DecodeError> {
    readable(version)?;
    decode_v2(kind, octets)
}

/// Whether this build reads records of that version.
///
/// # Errors
/// It doesn't, and why.
pub fn readable(version: u16) -> Result<(), DecodeError> {
    match version {
        2 => Ok(()),
        // 1 was written by builds before the first release, and by none after.
        0 | 1 => Err(DecodeError::UnknownVersion { found: version }),
        newer => Err(DecodeError::Newer { found: newer }),
    }
}

fn decode_v2(kind: RecordKind, octets: &[u8]) -> Result<Record, DecodeError> {
    Ok(match kind {
        RecordKind::Transaction => Record::Transaction(postcard::from_bytes(octets)?),
        RecordKind::Session => Record::Session(postcard::from_bytes(octets)?),
        RecordKind::Amendment => Record::Amendment(postcard::from_bytes(octets)?),
        RecordKind::Gap => Record::Gap(postcard::from_bytes(octets)?),
        RecordKind::Mark => Record::Mark(postcard::from_bytes(octets)?),
        RecordKind::Incident | RecordKind::Audit | RecordKind::Log => return Err(DecodeError::UnknownKind { kind }),
    })
}
