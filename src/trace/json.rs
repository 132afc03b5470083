//! The public JSON shape.
