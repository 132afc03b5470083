//! Logs of other servers, as entries of the trace: what became of a message before the proxy and behind it.
//!
//! Reading order: [`entry`] (what a line becomes), [`reader`] (octets to entries, with what can't be read counted), then a server's own file.

mod courier;
mod domino;
pub mod entry;
mod exchange;
mod exim;
mod facts;
pub mod format;
mod hmailserver;
mod james;
mod journal;
mod known;
pub mod lines;
pub mod moment;
mod postfix;
mod quoted;
pub mod reader;
mod said;
mod sendmail;
mod server;
mod syslog;

pub use entry::{Entry, Fate, Identified, LogEvent};
pub use format::Format;
pub use reader::{Counts, Options, Reader, Unreadable};

#[cfg(test)]
mod tests;
