//! The HTTP API: the same answers as the command line's, on `api.sock` and, if asked for, on a loopback address.
//!
//! Reading order: [`api`] (what can be asked), [`live`] (following), [`local`], `running` and [`intake`] (what is for `api.sock` only), [`outside`] (DNS for what
//! was never seen), [`doctor`] (examinations), [`metrics`] (for those who watch over the proxy), [`guard`] (who may ask over TCP), [`serve`] (sockets and
//! limits). Nothing here decides anything about mail.

pub mod api;
mod doctor;
mod error;
mod export;
mod exports;
mod guard;
mod incidents;
mod intake;
mod live;
mod local;
mod metrics;
mod outside;
mod patient;
mod running;
mod serve;
mod token;

pub use api::{Api, NOTHING_HERE, router};
pub use doctor::Practice;
pub use exports::{Export, Exports, Replayed, not_to_come};
pub use guard::Guard;
pub use intake::{INTAKE_OCTETS, INTAKE_PATH, INTAKE_RECORDS};
pub use local::local_router;
pub use outside::Dns;
pub use running::Running;
pub use serve::{SOCKET, ServeError, bind_tcp, bind_unix, serve_tcp, serve_unix};
pub use token::{TOKEN_FILE, Token, TokenError, read_token};
