//! GELF's ways over the network: messages that end with NUL on a stream, and datagrams, in chunks where one is too big.

use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::trace::RecordId;

/// What a chunk begins with.
const MAGIC: [u8; 2] = [0x1e, 0x0f];
/// Before a chunk's own octets: magic, 8 of the message's id, number, count.
const HEAD: usize = 12;
/// A message has no more chunks.
const MOST: usize = 128;
/// Octets of a datagram: one that passes most networks whole, and the biggest that Graylog takes everywhere.
const SIZES: [usize; 2] = [1_420, 8_192];

/// Makes datagrams.
#[derive(Debug)]
pub struct Chunker {
    pub gzip: bool,
    /// Messages that were sent in chunks: one that is sent again must not be put together with what remained of the first.
    chunked: u64,
}

impl Chunker {
    pub fn new(gzip: bool) -> Self {
        Self { gzip, chunked: 0 }
    }

    /// The datagrams of one message; `None` if it is too big for 128 of them.
    ///
    /// # Errors
    /// None: it compresses into memory.
    pub fn datagrams(&mut self, record: RecordId, message: &[u8]) -> io::Result<Option<Vec<Vec<u8>>>> {
        let packed = if self.gzip { packed(message)? } else { message.to_vec() };
        let [small, big] = SIZES;
        if packed.len() <= small {
            return Ok(Some(vec![packed]));
        }
        let size = if packed.len() <= (small - HEAD) * MOST { small } else { big };
        let chunks = packed.chunks(size - HEAD);
        let Some(count) = u8::try_from(chunks.len()).ok().filter(|count| usize::from(*count) <= MOST) else { return Ok(None) };
        self.chunked = self.chunked.wrapping_add(1);
        let id = blake3::Hasher::new().update(&record.as_u128().to_be_bytes()).update(&self.chunked.to_be_bytes()).finalize();
        let id: Vec<u8> = id.as_bytes().iter().copied().take(8).collect();
        Ok(Some((0..count).zip(chunks).map(|(number, chunk)| [&MAGIC, &id[..], &[number, count], chunk].concat()).collect()))
    }
}

fn packed(message: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(message.len() / 2), Compression::fast());
    encoder.write_all(message)?;
    encoder.finish()
}

/// Appends a message as it stands on a stream. JSON has no NUL within.
pub fn frame(message: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(message);
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> RecordId {
        RecordId::from_u128(7)
    }

    #[test]
    fn a_small_message_is_one_datagram_as_it_is() {
        let datagrams = Chunker::new(false).datagrams(id(), b"{}").unwrap();
        assert_eq!(datagrams, Some(vec![b"{}".to_vec()]));
    }

    #[test]
    fn chunks_give_the_message_again_and_each_sending_has_an_id_of_its_own() {
        let mut chunker = Chunker::new(false);
        for octets in [1_421, 2_816, 2_817, 180_224, 180_225, 1_047_040] {
            let message: Vec<u8> = (0..octets).map(|number| (number % 251) as u8).collect();
            let [first, again] = [(); 2].map(|()| chunker.datagrams(id(), &message).unwrap().unwrap());
            assert!(first[0][..2] == MAGIC && first[0][2..10] != again[0][2..10], "{octets}");
            let mut whole = Vec::new();
            for (number, datagram) in first.iter().enumerate() {
                assert_eq!((usize::from(datagram[10]), usize::from(datagram[11])), (number, first.len()));
                assert!(datagram[2..10] == first[0][2..10] && datagram.len() <= 8_192);
                whole.extend_from_slice(&datagram[HEAD..]);
            }
            assert!(whole == message && first.len() <= MOST, "{octets}");
        }
        assert_eq!(chunker.datagrams(id(), &vec![0; 1_047_041]).unwrap(), None);
    }

    #[test]
    fn what_gzip_makes_small_needs_no_chunks() {
        let datagrams = Chunker::new(true).datagrams(id(), &[b'a'; 9_000]).unwrap().unwrap();
        assert!(datagrams.len() == 1 && datagrams[0].starts_with(&[0x1f, 0x8b]));
    }
}
