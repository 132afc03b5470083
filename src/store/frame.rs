//! A record in an active journal file: how it is framed, and how a frame is recognised.
//!
//! `length u32 | crc32c u32 | kind u8 | id 16 | octets`, little-endian. The length counts what follows the checksum; the
//! checksum covers the length and all that follows it, and starts from the file's salt: after damage the reader looks for the
//! next frame octet by octet, and nobody who writes mail can put something into a record that looks like a frame.

use thiserror::Error;

use crate::trace::{MarkView, Record, RecordId, RecordKind, stored};

/// Octets before what the length counts.
pub(super) const PREFIX: usize = 8;
/// Kind and id.
const HEAD: usize = 17;
/// No record comes near it; a length beyond it is damage.
pub(super) const LONGEST: usize = 8 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub kind: RecordKind,
    pub id: RecordId,
    pub octets: &'a [u8],
}

impl Frame<'_> {
    /// Octets the frame takes in the file.
    pub fn len(&self) -> usize {
        PREFIX + HEAD + self.octets.len()
    }
}

/// Why no frame stands here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum NoFrame {
    #[error("the file ends inside a frame")]
    Cut,
    #[error("{0} is no length of a frame")]
    Length(u32),
    #[error("the checksum does not match")]
    Checksum,
    #[error("{0} is no kind of record")]
    Kind(u8),
}

/// The record can't be framed.
#[derive(Debug, Error)]
pub enum Unframeable {
    #[error("the record does not encode: {0}")]
    Encode(#[from] postcard::Error),
    #[error("the record has {octets} octets; {LONGEST} is the most the journal takes")]
    TooLong { octets: usize },
}

pub(super) fn kind_of(octet: u8) -> Option<RecordKind> {
    RecordKind::ALL.get(usize::from(octet)).copied()
}

/// Appends the record's frame to `out`; on error `out` is empty.
pub(super) fn write(salt: u32, record: &Record, out: &mut Vec<u8>) -> Result<(), Unframeable> {
    write_with(salt, record.kind(), record.id(), out, |out| stored::encode(record, out))
}

/// The same of a mark.
pub(super) fn write_mark(salt: u32, mark: &MarkView<'_>, out: &mut Vec<u8>) -> Result<(), Unframeable> {
    write_with(salt, RecordKind::Mark, mark.id, out, |out| stored::encode_mark(mark, out))
}

fn write_with(
    salt: u32,
    kind: RecordKind,
    id: RecordId,
    out: &mut Vec<u8>,
    encode: impl FnOnce(Vec<u8>) -> Result<Vec<u8>, postcard::Error>,
) -> Result<(), Unframeable> {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX]);
    out.push(kind as u8);
    out.extend_from_slice(&id.as_u128().to_le_bytes());
    *out = encode(std::mem::take(out))?;
    let octets = out.len() - start - PREFIX;
    if octets > LONGEST {
        out.clear();
        return Err(Unframeable::TooLong { octets });
    }
    let length = (octets as u32).to_le_bytes();
    let checksum = checksum(salt, length, &out[start + PREFIX..]).to_le_bytes();
    out[start..start + 4].copy_from_slice(&length);
    out[start + 4..start + PREFIX].copy_from_slice(&checksum);
    Ok(())
}

/// The frame at the start of `input`.
pub(super) fn parse(salt: u32, input: &[u8]) -> Result<Frame<'_>, NoFrame> {
    let (length, rest) = input.split_first_chunk::<4>().ok_or(NoFrame::Cut)?;
    let octets = u32::from_le_bytes(*length);
    if !(HEAD..=LONGEST).contains(&(octets as usize)) {
        return Err(NoFrame::Length(octets));
    }
    let (stated, rest) = rest.split_first_chunk::<4>().ok_or(NoFrame::Cut)?;
    let body = rest.get(..octets as usize).ok_or(NoFrame::Cut)?;
    if checksum(salt, *length, body) != u32::from_le_bytes(*stated) {
        return Err(NoFrame::Checksum);
    }
    let (&kind, rest) = body.split_first().ok_or(NoFrame::Cut)?;
    let (id, octets) = rest.split_first_chunk::<16>().ok_or(NoFrame::Cut)?;
    let kind = kind_of(kind).ok_or(NoFrame::Kind(kind))?;
    Ok(Frame { kind, id: RecordId::from_u128(u128::from_le_bytes(*id)), octets })
}

/// What octets say that may begin with a frame.
pub(super) struct Claim {
    length: [u8; 4],
    pub checksum: u32,
    /// What the checksum covers behind the length, and what the length counts.
    pub octets: usize,
}

impl Claim {
    /// The checksum as far as the length.
    pub fn begun(&self, salt: u32) -> u32 {
        crc32c::crc32c_append(salt, &self.length)
    }
}

/// What the start of `input` says, if a frame may stand there: all but its checksum is as in one.
pub(super) fn claim(input: &[u8]) -> Option<Claim> {
    let (length, rest) = input.split_first_chunk::<4>()?;
    let (stated, rest) = rest.split_first_chunk::<4>()?;
    let octets = u32::from_le_bytes(*length) as usize;
    let is_whole = (HEAD..=LONGEST).contains(&octets) && octets <= rest.len();
    (is_whole && kind_of(*rest.first()?).is_some()).then_some(Claim { length: *length, checksum: u32::from_le_bytes(*stated), octets })
}

/// Kind and length of the frame at the start of octets this process framed itself.
pub(super) fn own(input: &[u8]) -> Option<(u8, usize)> {
    let length = input.first_chunk::<4>()?;
    Some((*input.get(PREFIX)?, PREFIX + u32::from_le_bytes(*length) as usize))
}

/// How many of the frames, which this process framed itself, tell an admin something: neither marks, which stand for a record that comes, nor
/// what says that others are missing.
pub(super) fn telling(frames: &[u8]) -> u64 {
    let (mut count, mut at) = (0, 0);
    while let Some((kind, length)) = frames.get(at..).and_then(own) {
        count += u64::from(!matches!(kind_of(kind), Some(RecordKind::Mark | RecordKind::Gap)));
        at += length;
    }
    count
}

/// Takes out the marks whose record is among the same frames, which this process framed itself: they have served their purpose.
pub(super) fn drop_answered_marks(frames: &mut Vec<u8>) {
    let mut answered = Vec::new();
    let mut marks = 0;
    let mut at = 0;
    while let Some((kind, length)) = frames.get(at..).and_then(own) {
        match kind_of(kind) {
            Some(RecordKind::Transaction) => answered.extend(own_id(&frames[at..])),
            Some(RecordKind::Mark) => marks += 1,
            _ => {}
        }
        at += length;
    }
    if marks == 0 || answered.is_empty() {
        return;
    }
    answered.sort_unstable();
    let (mut from, mut to) = (0, 0);
    while let Some((kind, length)) = frames.get(from..).and_then(own) {
        let end = (from + length).min(frames.len());
        let is_answered = || own_id(&frames[from..]).is_some_and(|id| answered.binary_search(&id).is_ok());
        if kind != RecordKind::Mark as u8 || !is_answered() {
            frames.copy_within(from..end, to);
            to += end - from;
        }
        from = end;
    }
    frames.truncate(to);
}

/// The id of a frame of this process, and the record's octets.
pub(super) fn own_parts(frame: &[u8]) -> Option<(u128, &[u8])> {
    Some((own_id(frame)?, frame.get(PREFIX + HEAD..)?))
}

/// The id in a frame of this process.
fn own_id(frame: &[u8]) -> Option<u128> {
    Some(u128::from_le_bytes(*frame.get(PREFIX + 1..)?.first_chunk()?))
}

fn checksum(salt: u32, length: [u8; 4], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(salt, &length), body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples;

    #[test]
    fn a_frame_is_read_back_and_followed_by_the_next() {
        let (first, second) = (samples::transaction(1), samples::session(2));
        let mut octets = Vec::new();
        write(7, &first, &mut octets).unwrap();
        write(7, &second, &mut octets).unwrap();
        let frame = parse(7, &octets).unwrap();
        assert_eq!((frame.kind, frame.id), (RecordKind::Transaction, first.id()));
        assert_eq!(stored::decode(stored::VERSION, frame.kind, frame.octets).unwrap(), first);
        let next = parse(7, &octets[frame.len()..]).unwrap();
        assert_eq!(stored::decode(stored::VERSION, next.kind, next.octets).unwrap(), second);
        assert_eq!(own(&octets), Some((RecordKind::Transaction as u8, frame.len())));
    }

    #[test]
    fn marks_with_their_record_are_dropped_and_others_kept() {
        let frames = |records: &[Record]| {
            let mut octets = Vec::new();
            records.iter().for_each(|record| write(7, record, &mut octets).unwrap());
            octets
        };
        #[track_caller]
        fn check(mut octets: Vec<u8>, expected: Vec<u8>) {
            drop_answered_marks(&mut octets);
            assert_eq!(octets, expected);
        }
        let (mark, record, gap) = (samples::mark, samples::transaction, samples::gap);
        check(Vec::new(), Vec::new());
        check(frames(&[mark(1), mark(2)]), frames(&[mark(1), mark(2)]));
        check(frames(&[record(1), gap(2)]), frames(&[record(1), gap(2)]));
        check(frames(&[mark(1), mark(2), gap(9), record(1), mark(3)]), frames(&[mark(2), gap(9), record(1), mark(3)]));
        check(frames(&[mark(1), record(1)]), frames(&[record(1)]));
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let mut octets = Vec::new();
        write(7, &samples::gap(1), &mut octets).unwrap();
        for at in 0..octets.len() * 8 {
            octets[at / 8] ^= 1 << (at % 8);
            assert!(parse(7, &octets).is_err(), "bit {at}");
            octets[at / 8] ^= 1 << (at % 8);
        }
        assert!(parse(7, &octets).is_ok());
        assert_eq!(parse(8, &octets), Err(NoFrame::Checksum));
    }

    #[test]
    fn a_cut_frame_is_no_frame() {
        let mut octets = Vec::new();
        write(7, &samples::gap(1), &mut octets).unwrap();
        for end in 0..octets.len() {
            assert_eq!(parse(7, &octets[..end]), Err(NoFrame::Cut), "{end}");
        }
        assert_eq!(parse(7, &[0; 64]), Err(NoFrame::Length(0)));
    }
}
