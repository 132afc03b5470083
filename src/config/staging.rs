//! Where records are staged, as it is written in the file: `"auto"`, `"off"`, or a directory in memory.

use std::fmt;
use std::path::PathBuf;

use super::written::{Written, written};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StagingPlace {
    Auto,
    Off,
    Dir(PathBuf),
}
written!(StagingPlace);

impl Written for StagingPlace {
    const FORMAT: &'static str = "staging-place";
    const EXAMPLE: &'static str = "auto";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            dir if dir.starts_with('/') => Ok(Self::Dir(dir.into())),
            _ => Err("is none of \"auto\", \"off\" and the full path of a directory in memory, such as \"/dev/shm\"".to_owned()),
        }
    }
}

impl fmt::Display for StagingPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("off"),
            Self::Dir(dir) => dir.display().fmt(f),
        }
    }
}
