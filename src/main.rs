//! The `relayscope` command.

fn main() {}
