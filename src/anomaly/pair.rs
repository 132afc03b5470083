//! Two texts as one key, looked up without making either.

use std::hash::{Hash, Hasher};

use hashbrown::Equivalent;
use serde::{Deserialize, Serialize};

/// "upstream, user", "sender's domain, provider", …: which two says its owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pair(pub String, pub String);

/// The same, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PairRef<'a>(pub &'a str, pub &'a str);

impl Pair {
    pub fn as_ref(&self) -> PairRef<'_> {
        PairRef(&self.0, &self.1)
    }
}

impl Hash for Pair {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

impl Equivalent<Pair> for PairRef<'_> {
    fn equivalent(&self, key: &Pair) -> bool {
        self.0 == key.0 && self.1 == key.1
    }
}

impl From<&PairRef<'_>> for Pair {
    fn from(pair: &PairRef<'_>) -> Self {
        Self(pair.0.to_owned(), pair.1.to_owned())
    }
}
