//! Logs of other servers, as entries of the trace: what became of a message before the proxy and behind it.
//!
//! Reading order: [`entry`] (what a line becomes), [`reader`] (octets to entries, with what can't be read counted), then a server's own file.

mod courier;
pub mod cursor;
mod dates;
mod domino;
pub mod entry;
mod envelope;
mod exchange;
mod exim;
mod facts;
pub mod follow;
pub mod format;
mod hmailserver;
mod james;
mod journal;
mod known;
mod lines;
mod moment;
mod postfix;
mod quoted;
pub mod reader;
mod said;
mod sendmail;
mod server;
pub mod source;
mod syslog;

pub use cursor::Cursor;
pub use dates::DateOrder;
pub use entry::{Entry, Fate, Identified, LogEvent};
pub use follow::{Follower, News};
pub use format::Format;
pub use reader::{Counts, Options, Reader, Unreadable};
pub use source::Source;

#[cfg(test)]
mod tests;
