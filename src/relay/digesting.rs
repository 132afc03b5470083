//! The digest of a message's octets as sent on, over whatever pieces they come in.

use blake3::Hasher;

use crate::trace::Digest;

/// Most messages come in one piece, and need no hasher of 2 KiB that outlives it.
#[derive(Debug)]
pub(super) enum Digesting {
    Nothing,
    Piecewise(Box<Hasher>),
    Done(Digest),
}

impl Digesting {
    /// `last`: nothing follows these octets.
    pub fn look(&mut self, octets: &[u8], last: bool) {
        match self {
            Self::Nothing if last => *self = Self::Done(Digest(blake3::hash(octets).into())),
            Self::Nothing => {
                let mut hasher = Box::new(Hasher::new());
                hasher.update(octets);
                *self = Self::Piecewise(hasher);
            }
            Self::Piecewise(hasher) => {
                hasher.update(octets);
            }
            Self::Done(_) => {} // a message that is refused at its very end
        }
    }

    pub fn digest(&self) -> Digest {
        match self {
            Self::Nothing => Digest(blake3::hash(b"").into()),
            Self::Piecewise(hasher) => Digest(hasher.finalize().into()),
            Self::Done(digest) => *digest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_no_difference() {
        let whole = Digest(blake3::hash(b"one two three").into());
        for pieces in [&[&b"one two three"[..]][..], &[b"one ", b"two ", b"three"], &[b"one two thre", b"e"]] {
            for tells in [true, false] {
                let mut digesting = Digesting::Nothing;
                for (at, piece) in pieces.iter().enumerate() {
                    digesting.look(piece, tells && at + 1 == pieces.len());
                }
                assert_eq!(digesting.digest(), whole);
            }
        }
        assert_eq!(Digesting::Nothing.digest(), Digest(blake3::hash(b"").into()));
    }
}
