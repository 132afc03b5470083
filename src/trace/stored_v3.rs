//! Stored form 3 made form 4: the two peers of a session lacked their last fields, everything else is the same.

use serde::Deserialize;

use super::id::RecordId;
use super::kept::Kept;
use super::kinds::{Direction, RecordKind};
use super::leb128;
use super::record::{Origin, WallMicros};

pub(super) const VERSION: u16 = 3;

/// What form 4 adds to a client (`via`) and to an upstream (`kind` to `spliced`): an octet for each field, all absent.
const CLIENT: &[u8] = &[0];
const UPSTREAM: &[u8] = &[0; 7];

/// The octets of a record of form 3 as form 4 has them.
pub(super) fn upgrade(kind: RecordKind, octets: &[u8]) -> Result<Vec<u8>, postcard::Error> {
    let rest = match kind {
        RecordKind::Transaction => {
            behind::<(RecordId, RecordId, u32, Kept<Origin>, Option<String>, WallMicros, u64, String, Direction)>(octets)?
        }
        RecordKind::Session => behind::<(RecordId, Kept<Origin>, Option<String>, WallMicros, u64, String, Direction)>(octets)?,
        RecordKind::Mark => behind::<(RecordId, RecordId, u32, Kept<Origin>, WallMicros, String, Direction)>(octets)?,
        _ => return Ok(octets.to_vec()),
    };
    let (client, rest_behind) = postcard::take_from_bytes::<&[u8]>(rest)?;
    let (upstream, tail) = postcard::take_from_bytes::<&[u8]>(rest_behind)?;
    let head = octets.get(..octets.len() - rest.len()).unwrap_or_default();
    let mut made = Vec::with_capacity(octets.len() + 16);
    made.extend_from_slice(head);
    for (part, added) in [(client, CLIENT), (upstream, UPSTREAM)] {
        leb128::put(&mut made, (part.len() + added.len()) as u64);
        made.extend_from_slice(part);
        made.extend_from_slice(added);
    }
    made.extend_from_slice(tail);
    Ok(made)
}

/// What comes behind the fields of `Head`.
fn behind<'a, Head: Deserialize<'a>>(octets: &'a [u8]) -> Result<&'a [u8], postcard::Error> {
    postcard::take_from_bytes::<Head>(octets).map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Client, Upstream};

    #[test]
    fn what_is_added_is_what_absent_fields_are_stored_as() {
        let client = Client { ip: std::net::Ipv4Addr::LOCALHOST.into(), port: 1, helo: None, tls: None, auth: None, via: None };
        assert!(postcard::to_stdvec(&client).unwrap().ends_with(CLIENT));
        // name, then twelve fields of form 3 that are absent or empty, then those of form 4, then that of form 5.
        assert_eq!(postcard::to_stdvec(&Upstream::default()).unwrap(), [&[0; 13][..], UPSTREAM, &[0]].concat());
    }
}
