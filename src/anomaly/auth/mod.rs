//! Logins that fail: one account's, everybody's, or somebody's who tries passwords.
//!
//! [`login`] reads out of a record who tried to log in where, [`accounts`] knows which accounts succeed from where and tells one that fails
//! from an upstream that refuses all, [`guessing`] watches single clients, [`own`] the proxy's own login.

pub mod accounts;
pub mod guessing;
pub mod login;
pub mod options;
pub mod own;
#[cfg(test)]
mod tests;

use super::detector::Detector;

pub use accounts::Accounts;
pub use guessing::Guessing;
pub use options::Options;
pub use own::Own;

/// Those of this group.
pub fn detectors(options: &Options) -> Vec<Box<dyn Detector>> {
    vec![Box::new(Accounts::new(options)), Box::new(Guessing::new(options)), Box::new(Own::new(options))]
}
