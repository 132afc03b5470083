//! A file that is open all the time, or for what is done with it just now.

use std::fs::File;
use std::ops::Deref;

pub(super) enum Descriptor<'a> {
    Kept(&'a File),
    Opened(File),
}

impl Deref for Descriptor<'_> {
    type Target = File;

    fn deref(&self) -> &File {
        match self {
            Self::Kept(file) => file,
            Self::Opened(file) => file,
        }
    }
}
