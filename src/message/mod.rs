//! What a message says of itself, the names servers give it, and what reports say of others. No I/O, no clock.

pub mod dkim;
pub mod encoded_word;
mod fields;
mod header;
mod queue_id;
mod received;
pub mod report;
mod report_capture;

use std::borrow::Cow;

pub use fields::Headers;
pub use header::HeaderCapture;
pub use queue_id::{QueueId, upstream_queue_id};
pub use received::queue_id as received_queue_id;
pub use report_capture::ReportCapture;

/// The last place up to `bound` where `text` can be cut.
fn char_boundary(text: &str, bound: usize) -> usize {
    (0..=bound.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// Octets as text, with replacements where they aren't UTF-8. Most are ASCII, of which the check of the whole makes short work.
pub fn lossy(octets: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(octets).map_or_else(|_| String::from_utf8_lossy(octets), Cow::Borrowed)
}
