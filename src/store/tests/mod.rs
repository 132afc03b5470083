//! Stories about the store as a whole.

mod store;
