//! The trace store: a journal that is the truth, an index over it that can always be made again.
//!
//! Reading order: [`intake`] (records come in), `writer` and `log` (they are appended), `index` (they are made findable), `plan`,
//! `answering` and `search` (they are found), `tally` (they are counted). Only this module knows the files.

pub mod options;
mod order;

mod adopt;
mod answering;
mod aside;
mod backup;
mod batch;
mod bell;
mod blocks;
mod calendar;
mod check;
mod clock;
mod cursor;
mod day;
mod drain;
mod facts;
mod fold;
mod frame;
mod handle;
mod handover;
mod health;
mod histogram;
mod history;
mod ids;
mod import;
mod index;
mod intake;
mod journal;
mod keeper;
mod kept;
mod live;
mod lock;
mod locks;
mod log;
mod marks;
mod matching;
mod open;
mod pair;
mod plan;
mod query;
mod queue;
mod reader;
mod recover;
mod resume;
mod retention;
#[cfg(test)]
pub(crate) mod samples;
mod seal;
mod search;
mod segment;
mod settle;
mod staging;
mod stats;
mod tables;
mod take_in;
mod tally;
#[cfg(test)]
mod tests;
mod text;
mod thin;
mod under_way;
mod unindexed;
mod unpack;
mod window;
mod writer;

pub use backup::{BackupError, BackupReport};
pub use check::{CheckReport, Problem, check, rebuild_index};
pub use cursor::Cursor;
pub use day::Day;
pub use handle::{Opened, Store, StoreError};
pub use handover::GiveUpError;
pub use health::Health;
pub use import::{Import, ImportError, ImportReport};
pub use intake::{AppendError, Appender, StoreFailure};
pub use lock::Owner;
pub use log::Damage;
pub use open::OpenError;
pub use options::{Durability, Options};
pub use query::{Page, PageRequest, Query, Term, TextField, TlsIs};
pub use queue::Ticket;
pub use reader::Reader;
pub use recover::RecoveryReport;
pub use search::{Explained, Find};
pub use staging::default_dir as default_staging_dir;
pub use stats::StoreStats;
pub use take_in::{TakeInError, TakenIn};
pub use tally::{Field, Tally};
pub use text::{contains_words, has_words};
pub use window::Window;
