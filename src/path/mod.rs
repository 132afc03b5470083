//! Message paths: what became of a message, over retries and hops, and the sentence that says so.
//!
//! Reading order: [`what`] (what was asked, through [`lex`], [`tree`] and [`field`]), [`find`] (records fetched and completed), [`join`] (records → messages),
//! [`fate`] (each recipient's latest truth), [`verdict`] and [`next`] (the words), [`never`] (no match is an answer too);
//! [`answer`] is the public JSON of it all; [`ask`] is where the command line and the API put their questions. Nothing here
//! prints or opens a store.

pub mod answer;
pub mod ask;
pub mod bounds;
pub mod candidates;
pub mod clock;
pub mod explained;
pub mod export;
pub mod fate;
pub mod field;
pub mod find;
pub mod gaps;
pub mod incidents;
pub mod join;
pub mod lex;
pub mod nearest;
pub mod never;
pub mod next;
pub mod pasted;
pub mod reading;
pub mod reclassify;
mod relevance;
pub mod stats;
pub mod tree;
pub mod under_way;
pub mod verdict;
pub mod what;
pub mod when;
pub mod wider;
pub mod words;

pub use answer::{Answer, Fate, Hop, MessagePath};
pub use ask::{ListRequest, Listing, StoreTraces};
pub use clock::Clock;
pub use explained::Explained;
pub use find::{Manner, Traces, find};
pub use never::outside;
pub use stats::{Asked, By, Stats, by_list};
pub use what::{NotUnderstood, What};
