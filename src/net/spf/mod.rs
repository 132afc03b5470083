//! SPF (RFC 7208): what a record says, whether it lets an address send, and what asking it costs.
//!
//! [`record`] and [`macros`] read, and do nothing else; [`evaluate`](evaluate::evaluate) is `check_host()` with its reasons kept,
//! [`survey`](survey::survey) looks at all that a domain's record leads to, whoever sends.

mod evaluate;
mod macros;
mod record;
mod survey;

pub use evaluate::{Evaluation, Identity, Outcome, evaluate};
pub use macros::{Facts, MacroString};
pub use record::{Flaw, Lengths, Mechanism, Placed, Qualifier, Term, is_record, terms};
pub use survey::{Cost, Problem, Survey, Visited, survey};

/// RFC 7208 4.6.4: terms that ask DNS, in a record and all that it includes.
pub const MOST_LOOKUPS: usize = 10;
/// The same: look-ups of terms that find nothing.
pub const MOST_VOID: usize = 2;
/// The same: hosts of one `mx`, names of one `ptr`.
const MOST_NAMES: usize = 10;
