//! Who may read what the store makes: its user and group alone, because traces tell who writes to whom.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Makes a directory, and those above it.
pub(super) fn make_dirs(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o750).create(dir)
}

/// Makes a directory in one that is there.
pub(super) fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o750).create(dir)
}

/// For writing a file that may have to be made.
pub(super) fn for_writing() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o640);
    options
}

/// Whether every user of the machine can read what a directory has: as one that was there before the store with the usual mask.
pub fn is_open_to_others(dir: &Path) -> bool {
    const READ: u32 = 0o004;
    const ENTER: u32 = 0o001;
    let has = |dir: &Path, bits: u32| fs::metadata(dir).is_ok_and(|it| it.permissions().mode() & bits == bits);
    fs::canonicalize(dir).is_ok_and(|dir| has(&dir, READ | ENTER) && dir.ancestors().skip(1).all(|above| has(above, ENTER)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_open_where_all_above_it_are() {
        let within = tempfile::tempdir_in("/tmp").unwrap();
        let dir = within.path().join("store");
        make_dirs(&dir).unwrap();
        let set = |dir: &Path, mode| fs::set_permissions(dir, fs::Permissions::from_mode(mode)).unwrap();
        let open = |above, own| {
            set(within.path(), above);
            set(&dir, own);
            is_open_to_others(&dir)
        };
        assert!(open(0o755, 0o755) && open(0o711, 0o755));
        assert!(!open(0o755, 0o750) && !open(0o755, 0o711) && !open(0o700, 0o755));
    }
}
