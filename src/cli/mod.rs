//! The commands.

pub mod config;
pub mod demo;
pub mod run;
