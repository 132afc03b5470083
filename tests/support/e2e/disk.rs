//! A disk of the test's own (ext4 on a loop device) that can stall, and die and come back.

use std::path::PathBuf;
use std::process::Command;

use super::place::Place;
use super::process::run;
use super::programs::{find, is_root};

/// `EXT4_IOC_SHUTDOWN`: from now on whatever is asked of the file system fails with EIO.
const DIE: &str = r#"open(my $dir, "<", $ARGV[0]) or die $!; my $how = pack("L", 0); defined(ioctl($dir, 0x8004587d, $how)) or die $!"#;

/// Taken apart when dropped; to be dropped before its place.
pub struct Disk {
    dir: PathBuf,
    image: PathBuf,
    devices: Vec<String>,
}

impl Disk {
    /// `None`, and a word why, where that isn't possible.
    pub fn new(place: &Place, name: &str) -> Option<Self> {
        let wanted = ["losetup", "mkfs.ext4", "fsfreeze", "perl", "mount"];
        if !is_root() || wanted.iter().any(|program| find(program).is_none()) {
            eprintln!("SKIPPED: a disk of its own needs root and {}", wanted.join(", "));
            return None;
        }
        let image = place.file(&format!("{name}.image"), "");
        std::fs::File::options().write(true).open(&image).unwrap().set_len(64 << 20).unwrap();
        let (code, said) = run(tool("mkfs.ext4").arg("-q").arg(&image));
        assert_eq!(code, 0, "{said}");
        let mut disk = Self { dir: place.dir(name), image, devices: Vec::new() };
        disk.attach().then_some(disk)
    }

    /// Whoever writes waits until what is returned is dropped.
    pub fn freeze(&self) -> Frozen {
        let (code, said) = run(tool("fsfreeze").arg("-f").arg(&self.dir));
        assert_eq!(code, 0, "{said}");
        Frozen(self.dir.clone())
    }

    pub fn die(&self) {
        let (code, said) = run(tool("perl").args(["-e", DIE]).arg(&self.dir));
        assert_eq!(code, 0, "{said}");
    }

    /// As the kernel does itself when it finds the file system damaged; an administrator may not while a file is open for writing.
    pub fn turn_read_only(&self) {
        let (code, said) = run(Command::new("mount").args(["-o", "remount,abort"]).arg(&self.dir));
        assert_eq!(code, 0, "{said}");
    }

    /// The same octets on another device, mounted in the place of what died.
    pub fn come_back(&mut self) {
        let _ = run(Command::new("umount").arg("--lazy").arg(&self.dir));
        assert!(self.attach());
    }

    fn attach(&mut self) -> bool {
        let (code, device) = run(tool("losetup").args(["--find", "--show"]).arg(&self.image));
        if code != 0 {
            eprintln!("SKIPPED: no loop device can be had here: {device}");
            return false;
        }
        let device = device.trim().to_owned();
        self.devices.push(device.clone());
        let (code, said) = run(Command::new("mount").arg(&device).arg(&self.dir));
        if code != 0 {
            eprintln!("SKIPPED: no file system can be mounted here: {said}");
        }
        code == 0
    }
}

fn tool(name: &str) -> Command {
    Command::new(find(name).unwrap_or_else(|| name.into()))
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg("--lazy").arg(&self.dir));
        for device in &self.devices {
            let _ = run(tool("losetup").arg("--detach").arg(device));
        }
    }
}

/// A stalled disk. To be dropped before whoever writes to it is ended: nobody can be killed who waits for it.
pub struct Frozen(PathBuf);

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = run(tool("fsfreeze").arg("-u").arg(&self.0));
    }
}
