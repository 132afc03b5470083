//! Where a session or a message goes: a small table of rules, first match wins.

pub mod table;

pub use table::{Considered, Envelope, Miss, Rule, Session, Table};
