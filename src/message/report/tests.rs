//! Reports written for these tests, a form at a time.
