//! The language of RFC 5321 and its extensions, pure: no socket, no clock, no log, no configuration.
//!
//! Octets come in as slices and are only looked at; what is relayed is always the slice itself, never something rebuilt.

pub mod auth;
pub mod command;
mod domain;
pub mod ehlo;
pub mod end_of_data;
pub mod exchange;
pub mod line;
pub mod path;
pub mod reply;
pub mod stage;

pub use command::{Command, Verb};
pub use domain::{are_related, is_within};
pub use ehlo::Extensions;
pub use end_of_data::{BareNewlines, EndOfData, Found, TERMINATOR};
pub use line::{LineError, next_line};
pub use path::PathCommand;
pub use reply::{ReplyError, ReplyScanner, ReplyView};
pub use stage::Stage;
