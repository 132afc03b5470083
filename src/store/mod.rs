//! The trace store: a journal that is the truth, an index over it that can always be made again.
//!
//! Reading order: [`intake`] (records come in), `writer` and `log` (they are appended), `indexer` and `run` (they are made
//! findable), `search` (they are found). Only this module knows the files.

pub mod options;

mod batch;
mod bell;
mod blocks;
mod bloom;
mod check;
mod clock;
mod cursor;
mod day;
mod facts;
mod fold;
mod frame;
mod handle;
mod health;
mod index;
mod indexer;
mod intake;
mod journal;
mod keeper;
mod keys;
mod live;
mod lock;
mod locks;
mod log;
mod marks;
mod open;
mod pages;
mod pair;
mod places;
mod query;
mod queue;
mod recover;
mod retention;
mod run;
#[cfg(test)]
mod samples;
mod seal;
mod search;
mod segment;
mod settle;
mod staging;
mod stats;
mod stored;
#[cfg(test)]
mod tests;
mod text;
mod thin;
mod writer;

pub use check::{CheckReport, Problem, check, rebuild_index};
pub use cursor::Cursor;
pub use day::Day;
pub use handle::{Opened, Store, StoreError};
pub use health::Health;
pub use intake::{AppendError, Appender, StoreFailure};
pub use lock::Owner;
pub use log::Damage;
pub use open::OpenError;
pub use options::{Durability, Options};
pub use query::{Page, PageRequest, Query, Term};
pub use queue::Ticket;
pub use recover::RecoveryReport;
pub use staging::default_dir as default_staging_dir;
pub use stats::{Field, StoreStats};
