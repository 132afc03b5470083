//! Conversations on paper: scripts of both legs, replayed through `relay::Machine` however TCP cuts them.
//!
//! Reading order: `script` (the language), `world` (what stands in for sockets, store and clock), `replay` (whole, octet by octet,
//! cut everywhere), `facts` (what the records must say), `peers` (a client and a smart host for the laws), `show` (how octets and failures look).
#![allow(dead_code)] // each test binary that includes this uses a part of it

pub mod facts;
pub mod peers;
pub mod replay;
pub mod script;
pub mod secrets;
pub mod show;
mod signs;
pub mod world;
