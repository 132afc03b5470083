//! `relayscope demo`: a smart host whose addresses misbehave, and traffic to look for.

mod command;
mod next_steps;
mod sample;
mod script;
mod smart_host;
mod store;
mod traffic;

pub use command::{DemoArgs, run};
pub use next_steps::next_steps;
pub use smart_host::{SmartHostOptions, smart_host};
pub use traffic::{Sent, sample_traffic};
