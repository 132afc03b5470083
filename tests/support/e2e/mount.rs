//! A small file system of the test's own, that can be full, or read-only.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::place::Place;
use super::process::run;
use super::programs::is_root;

/// Unmounted when dropped; to be dropped before its place.
pub struct Mount {
    dir: PathBuf,
}

impl Mount {
    /// `None`, and a word why, where mounting isn't possible.
    pub fn new(place: &Place, name: &str, octets: usize) -> Option<Self> {
        let dir = place.dir(name);
        if !is_root() {
            eprintln!("SKIPPED: mounting a file system needs root");
            return None;
        }
        let (code, said) = run(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={octets}"), "relayscope-test"]).arg(&dir));
        if code != 0 {
            eprintln!("SKIPPED: no file system can be mounted here: {said}");
            return None;
        }
        Some(Self { dir })
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }

    pub fn remount(&self, options: &str) {
        let (code, said) = run(Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.dir));
        assert_eq!(code, 0, "{said}");
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.filler()).unwrap();
        for piece in [65_536, 4096, 1] {
            while file.write_all(&vec![0; piece]).is_ok() {}
        }
    }

    /// Gives it back.
    pub fn empty(&self) {
        File::create(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.dir.join("filler")
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg("--lazy").arg(&self.dir));
    }
}
