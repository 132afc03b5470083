//! Records on their way to the journal, kept by the kernel meanwhile: a file in memory (tmpfs) that a killed process leaves behind.
//!
//! Handing a record to the writer thread and waiting for it costs two wake-ups, which is most of what a small message is delayed by.
//! Copying into this file, which is mapped, costs neither a call nor a disk, and what it holds survives the death of the process as well
//! as what was written to the journal does. So a record that lies here counts as `written`; the writer moves what has gathered to the
//! journal every few milliseconds, and the next start takes in what a dead process left.
//!
//! `header, two halves`. Records gather in one half while the writer takes the other to the journal. Each is preceded by the number of its
//! generation (u64): a half is read as far as that stays the same. The header says which generation reached the journal last; of the one
//! after it some records may have.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use memmap2::MmapMut;

use super::clock;
use super::leftover::{is_ours, open_ours, recorded_dir};
use crate::trace::stored;

pub(super) const MAGIC: &[u8; 8] = b"rscopest";
pub(super) const FORMAT: u16 = 1;
pub(super) const HEADER: usize = 4096;
/// Where the header holds the generation that reached the journal last.
pub(super) const DONE_AT: usize = 16;
pub(super) const DIR_AT: usize = 32;
/// Octets of one half: some hundred records, several times what gathers until the writer looks.
pub(super) const HALF: usize = 1 << 20;
/// Octets of a generation's number.
pub(super) const NUMBER: usize = 8;
/// In the store's directory: a link to the file in memory.
pub(super) const LINK: &str = "staging";
const PREFIX: &str = "relayscope-";
const SUFFIX: &str = ".staging";

/// The staging file of this process.
#[derive(Debug)]
pub(super) struct Staging {
    map: MmapMut,
    /// Holds the lock.
    _file: File,
    path: PathBuf,
    link: PathBuf,
    generation: u64,
    filled: usize,
}

/// Where staging files go if nothing else is said; `None` where they would not outlive the process: in a container whose memory goes
/// with it, and where there is no file system in memory.
pub fn default_dir() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let lone = std::process::id() == 1;
    let in_container = kind_of_mount(&mounts, "/").is_none_or(|kind| matches!(kind, "overlay" | "aufs" | "fuse.fuse-overlayfs"));
    (!lone && !in_container && kind_of_mount(&mounts, "/dev/shm") == Some("tmpfs")).then(|| PathBuf::from("/dev/shm"))
}

/// The file system mounted last at a place (proc_pid_mountinfo(5)).
fn kind_of_mount<'a>(mounts: &'a str, place: &str) -> Option<&'a str> {
    let kind = |line: &'a str| {
        let (mount, source) = line.split_once(" - ")?;
        (mount.split(' ').nth(4)? == place).then(|| source.split(' ').next()).flatten()
    };
    mounts.lines().rev().find_map(kind)
}

impl Staging {
    /// Makes the file in `dir`, all of its memory taken, and links it from the store's directory.
    pub fn create(dir: &Path, store_dir: &Path, salt: u32) -> io::Result<Self> {
        sweep(dir);
        let path = dir.join(format!("{PREFIX}{:016x}{SUFFIX}", clock::random()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        let link = store_dir.join(LINK);
        let made = prepare(&file, &header(salt, &fs::canonicalize(store_dir)?)).and_then(|map| {
            remove_if_there(&link)?;
            symlink(&path, &link)?;
            Ok(map)
        });
        match made {
            Ok(map) => Ok(Self { map, _file: file, path, link, generation: 1, filled: 0 }),
            Err(error) => {
                let _ = fs::remove_file(&path);
                Err(error)
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a frame; false if there is no room for it until the next [`Staging::turn`].
    pub fn keep(&mut self, frame: &[u8]) -> bool {
        if self.filled + NUMBER + frame.len() > HALF {
            return false;
        }
        let start = place_of(self.generation) + self.filled;
        let (number, room) = self.map[start..start + NUMBER + frame.len()].split_at_mut(NUMBER);
        number.copy_from_slice(&self.generation.to_le_bytes());
        room.copy_from_slice(frame);
        self.filled += NUMBER + frame.len();
        true
    }

    /// The writer takes all that was kept so far: what comes now goes into the other half. The generation before must be done.
    pub fn turn(&mut self) -> u64 {
        self.generation += 1;
        self.filled = 0;
        self.generation - 1
    }

    /// A generation has reached the journal, or was given up.
    pub fn done(&mut self, generation: u64) {
        self.map[DONE_AT..DONE_AT + NUMBER].copy_from_slice(&generation.to_le_bytes());
    }

    /// Takes the file away: everything in it has reached the journal.
    pub fn remove(self) {
        let _ = fs::remove_file(&self.link);
        let _ = fs::remove_file(&self.path);
    }
}

fn place_of(generation: u64) -> usize {
    HEADER + (generation % 2) as usize * HALF
}

fn header(salt: u32, store_dir: &Path) -> Vec<u8> {
    let mut header = vec![0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..10].copy_from_slice(&FORMAT.to_le_bytes());
    header[10..12].copy_from_slice(&stored::VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&salt.to_le_bytes());
    let dir = store_dir.as_os_str().as_encoded_bytes();
    let kept = dir.len().min(HEADER - DIR_AT);
    header[DIR_AT..DIR_AT + kept].copy_from_slice(&dir[..kept]);
    header
}

/// The lock shows that the process lives. Memory that can't be had is missed here, not at the first record.
#[allow(unsafe_code, reason = "measured: with a call for each record a message of 4 KiB costs 4 % more CPU")]
fn prepare(file: &File, header: &[u8]) -> io::Result<MmapMut> {
    file.try_lock()?;
    file.write_all_at(header, 0)?;
    file.write_all_at(&vec![0; 2 * HALF], HEADER as u64)?;
    // SAFETY: the file was made by this process just now, under a name of its own, readable and writable by this user alone, and is
    // neither made shorter nor written by any other means while it is mapped: whoever else finds it sees the lock and lets it be.
    unsafe { MmapMut::map_mut(file) }
}

/// Removes what stores left behind that are no more: nobody else would.
fn sweep(dir: &Path) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let named = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        // Others' files are none of our business, and worth no warning here.
        if !named || !fs::symlink_metadata(&path).is_ok_and(|found| is_ours(&found)) {
            continue;
        }
        let Ok(Some(file)) = open_ours(&path) else { continue };
        let mut header = vec![0; HEADER];
        if file.read_exact_at(&mut header, 0).is_err() {
            continue;
        }
        let store = std::str::from_utf8(recorded_dir(&header)).map(PathBuf::from);
        if store.is_ok_and(|store| fs::read_link(store.join(LINK)).is_ok_and(|target| target == path)) {
            continue; // its store will take it in, perhaps just now
        }
        if file.try_lock().is_err() {
            continue;
        }
        let _ = fs::remove_file(&path);
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::leftover::Leftover;
    use crate::store::{frame, samples};
    use crate::trace::Record;

    const SALT: u32 = 7;

    fn frame_of(record: &Record) -> Vec<u8> {
        let mut octets = Vec::new();
        frame::write(SALT, record, &mut octets).unwrap();
        octets
    }

    /// A store's directory, one for files in memory, and a staging file between them.
    struct Place {
        store: tempfile::TempDir,
        memory: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            Self { store: tempfile::tempdir().unwrap(), memory: tempfile::tempdir().unwrap() }
        }

        fn staging(&self) -> Staging {
            Staging::create(self.memory.path(), self.store.path(), SALT).unwrap()
        }

        fn left(&self) -> Option<Leftover> {
            Leftover::find(self.store.path()).unwrap()
        }

        fn in_memory(&self) -> usize {
            fs::read_dir(self.memory.path()).unwrap().count()
        }
    }

    fn keep(staging: &mut Staging, no: u64) {
        assert!(staging.keep(&frame_of(&samples::transaction(no))));
    }

    fn frames(numbers: std::ops::Range<u64>) -> Vec<u8> {
        numbers.flat_map(|no| frame_of(&samples::transaction(no))).collect()
    }

    #[test]
    fn what_was_kept_is_found_after_death() {
        let place = Place::new();
        let mut staging = place.staging();
        keep(&mut staging, 1);
        keep(&mut staging, 2);
        drop(staging); // as a kill does: nothing is removed
        let left = place.left().unwrap();
        assert_eq!(left.missing(|_, _| false), frames(1..3));
        left.remove();
        assert!(place.left().is_none());
        assert_eq!(place.in_memory(), 0);
    }

    #[test]
    fn a_generation_that_is_done_is_not_taken_in_again() {
        let place = Place::new();
        let mut staging = place.staging();
        keep(&mut staging, 1);
        let first = staging.turn();
        keep(&mut staging, 2);
        keep(&mut staging, 3);
        staging.done(first);
        let second = staging.turn();
        keep(&mut staging, 4);
        drop(staging);
        let left = place.left().unwrap();
        assert_eq!(second, 2);
        // The second was on its way: what the journal has of it is not taken in twice.
        let third = samples::transaction(3).id();
        assert_eq!(left.missing(|_, id| id != third), frames(3..4));
        assert_eq!(left.missing(|_, _| false), frames(2..5));
    }

    #[test]
    fn what_an_older_generation_left_behind_is_not_read() {
        let place = Place::new();
        let mut staging = place.staging();
        (0..20).for_each(|no| keep(&mut staging, no));
        for _ in 0..2 {
            let done = staging.turn();
            staging.done(done);
        }
        keep(&mut staging, 30); // over the first of twenty
        drop(staging);
        assert_eq!(place.left().unwrap().missing(|_, _| false), frames(30..31));
    }

    #[test]
    fn a_torn_entry_ends_what_is_read() {
        let place = Place::new();
        let mut staging = place.staging();
        (1..4).for_each(|no| keep(&mut staging, no));
        let torn = place_of(1) + staging.filled - 1;
        staging.map[torn] ^= 1;
        drop(staging);
        assert_eq!(place.left().unwrap().missing(|_, _| false), frames(1..3));
    }

    #[test]
    fn a_full_half_refuses_until_the_turn() {
        let place = Place::new();
        let mut staging = place.staging();
        let big = vec![0; HALF / 2];
        assert!(staging.keep(&big));
        assert!(!staging.keep(&big));
        staging.turn();
        assert!(staging.keep(&big));
        staging.remove();
        assert_eq!(place.in_memory(), 0);
        assert!(place.left().is_none());
    }

    /// Whoever looked in while the next process started made it drop what it should have taken in.
    #[test]
    fn a_lock_that_is_held_for_a_moment_hides_nothing() {
        let place = Place::new();
        let mut staging = place.staging();
        keep(&mut staging, 1);
        drop(staging);
        let open = || File::open(fs::read_link(place.store.path().join(LINK)).unwrap()).unwrap();
        let held = open();
        held.lock().unwrap();
        std::thread::scope(|scope| {
            let left = scope.spawn(|| place.left());
            drop(held);
            assert_eq!(left.join().unwrap().unwrap().missing(|_, _| false), frames(1..2));
        });
        let held = open();
        held.lock().unwrap();
        assert!(Leftover::find(place.store.path()).is_err(), "rather no store than one without what was acknowledged");
        assert_eq!(Leftover::look(place.store.path()).unwrap().unwrap().missing(|_, _| false), frames(1..2));
    }

    #[test]
    fn a_living_process_is_left_alone() {
        let place = Place::new();
        let mut staging = place.staging();
        keep(&mut staging, 1);
        let copy = tempfile::tempdir().unwrap();
        symlink(fs::read_link(place.store.path().join(LINK)).unwrap(), copy.path().join(LINK)).unwrap();
        assert!(Leftover::find(copy.path()).unwrap().is_none());
        assert!(Leftover::look(copy.path()).unwrap().is_none());
        // Another store starts, and sweeps.
        let other = tempfile::tempdir().unwrap();
        let second = Staging::create(place.memory.path(), other.path(), 8).unwrap();
        assert_eq!(place.in_memory(), 2);
        second.remove();
        drop(staging);
        assert_eq!(place.left().unwrap().missing(|_, _| false), frames(1..2));
    }

    #[test]
    fn a_copy_of_the_store_is_served_and_takes_nothing_away() {
        let place = Place::new();
        let mut staging = place.staging();
        keep(&mut staging, 1);
        drop(staging);
        let copy = tempfile::tempdir().unwrap();
        symlink(fs::read_link(place.store.path().join(LINK)).unwrap(), copy.path().join(LINK)).unwrap();
        let left = Leftover::find(copy.path()).unwrap().unwrap();
        assert_eq!(left.missing(|_, _| false), frames(1..2));
        left.remove();
        assert!(place.left().is_some());
    }

    #[test]
    fn files_of_stores_that_are_no_more_are_swept_away() {
        let place = Place::new();
        let gone = tempfile::tempdir().unwrap();
        drop(Staging::create(place.memory.path(), gone.path(), 8).unwrap());
        drop(gone);
        assert_eq!(place.in_memory(), 1);
        let staging = place.staging();
        assert_eq!(place.in_memory(), 1);
        staging.remove();
    }

    #[test]
    fn what_is_no_staging_file_is_not_read() {
        let place = Place::new();
        for octets in [vec![], vec![0; 100], vec![0xff; HEADER + 2 * HALF]] {
            fs::write(place.store.path().join(LINK), octets).unwrap();
            assert!(place.left().is_none());
        }
        fs::remove_file(place.store.path().join(LINK)).unwrap();
        fs::create_dir(place.store.path().join(LINK)).unwrap();
        assert!(place.left().is_none());
    }

    #[test]
    fn mounts_are_read() {
        let mounts = "22 1 0:21 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
             30 22 0:25 / /dev/shm rw,nosuid shared:5 - tmpfs tmpfs rw,size=1k\n\
             31 22 0:26 / /dev/shm/x rw - ext4 /dev/vdb rw\n";
        assert_eq!(kind_of_mount(mounts, "/"), Some("ext4"));
        assert_eq!(kind_of_mount(mounts, "/dev/shm"), Some("tmpfs"));
        assert_eq!(kind_of_mount(mounts, "/none"), None);
        assert_eq!(kind_of_mount("garbage\n - \n", "/"), None);
    }
}
