//! What is on record of a transaction before its end-of-data goes upstream.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::id::RecordId;
use super::kept::Kept;
use super::kinds::Direction;
use super::record::{Client, Envelope, Message, Origin, Upstream, WallMicros};

/// Written before end-of-data goes upstream. Without a record of the same id after it, the transaction is `unknown`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// The id the transaction's record will have.
    pub id: RecordId,
    pub session_id: RecordId,
    pub transaction_no: u32,
    #[serde(deserialize_with = "super::kept::shared")]
    pub origin: Arc<Kept<Origin>>,
    pub at: WallMicros,
    pub listener: String,
    pub direction: Direction,
    #[serde(deserialize_with = "super::kept::shared")]
    pub client: Arc<Kept<Client>>,
    #[serde(deserialize_with = "super::kept::shared")]
    pub upstream: Arc<Kept<Upstream>>,
    pub envelope: Envelope,
    /// Once the whole message went upstream, and its reply takes long. Stored behind the others, where former builds don't look.
    #[serde(skip)]
    pub message: Option<Box<Message>>,
}

/// A mark by reference: the same stored form, made in passing for every message.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct MarkView<'a> {
    pub id: RecordId,
    pub session_id: RecordId,
    pub transaction_no: u32,
    pub origin: &'a Kept<Origin>,
    pub at: WallMicros,
    pub listener: &'a str,
    pub direction: Direction,
    pub client: &'a Kept<Client>,
    pub upstream: &'a Kept<Upstream>,
    pub envelope: &'a Envelope,
    #[serde(skip)]
    pub message: Option<&'a Message>,
}

impl MarkView<'_> {
    pub fn to_mark(self) -> Mark {
        Mark {
            id: self.id,
            session_id: self.session_id,
            transaction_no: self.transaction_no,
            origin: Arc::new(self.origin.clone()),
            at: self.at,
            listener: self.listener.to_owned(),
            direction: self.direction,
            client: Arc::new(self.client.clone()),
            upstream: Arc::new(self.upstream.clone()),
            envelope: self.envelope.clone(),
            message: self.message.cloned().map(Box::new),
        }
    }
}
