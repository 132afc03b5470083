//! A machine to install on: a root of its own that `tests/servers/unpack` has made, with a systemd that runs as its first process. It has
//! the network in common with the tests, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::PATIENCE;
use crate::support::place::Place;
use crate::support::process::{Process, run};
use crate::support::programs::path_of;

/// Ends with the process that started it, and takes whatever it started with it.
const BOOT: &str = r#"
set -e
root=$1
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/sys/fs/cgroup" 2>/dev/null || true
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 "$root/dev/${device%:*}" c 1 "${device#*:}"; done
mknod -m 666 "$root/dev/tty" c 5 0
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
# What systemd mounts for one service reaches the others.
mount --make-rshared "$root"
exec chroot "$root" /usr/bin/env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=journal
"#;

pub struct Machine {
    root: PathBuf,
    control_group: PathBuf,
    _outer: Process,
    /// Of its first process, as seen from here.
    first: u32,
}

/// The archive of the root, if it is there.
pub fn archive() -> Option<PathBuf> {
    let dir = std::env::var_os("RELAYSCOPE_SERVERS_DIR").map(PathBuf::from);
    let dir = dir.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("servers"));
    Some(dir.join("debian/root.tar")).filter(|file| file.is_file())
}

impl Machine {
    /// Boots it; a word why not, where the kernel or the container that this runs in doesn't let it.
    pub fn boot(place: &Place, archive: &Path) -> Result<Self, String> {
        let root = place.dir("machine");
        let (code, said) = run(Command::new(path_of("tar")).args(["--numeric-owner", "-xpf"]).arg(archive).arg("-C").arg(&root));
        if code != 0 {
            return Err(format!("the root can't be unpacked: {said}"));
        }
        let unified = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].into_iter().find(|dir| Path::new(dir).join("cgroup.procs").is_file());
        let control_group = Path::new(unified.ok_or("no control groups (version 2)")?).join(format!("relayscope-{}", std::process::id()));
        fs::create_dir_all(&control_group).map_err(|error| format!("no control group can be made: {error}"))?;
        let mut command = Command::new(path_of("bash"));
        let namespaces = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child=KILL", "bash", "-c"];
        command.args(["-c", "echo $$ >\"$1/cgroup.procs\" || exit 1; shift; exec \"$@\"", "boot"]).arg(&control_group);
        command.args(namespaces).args([BOOT, "boot"]).arg(&root);
        let mut outer = Process::start(command, false);
        let until = Instant::now() + PATIENCE;
        loop {
            if !outer.is_running() {
                return Err(format!("no machine can be booted here: {}", outer.output.text()));
            }
            if let Some(first) = child_of(outer.id()) {
                let (_, said) = run(&mut inside(first, "systemctl", &["is-system-running"]));
                if ["running", "degraded"].contains(&said.trim()) {
                    return Ok(Self { root, control_group, _outer: outer, first });
                }
            }
            assert!(Instant::now() < until, "the machine doesn't come up:\n{}", outer.output.text());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside.trim_start_matches('/'))
    }

    /// Runs a program in there: its exit code and what it printed.
    pub fn run(&self, program: &str, arguments: &[&str]) -> (i32, String) {
        run(&mut inside(self.first, program, arguments))
    }

    /// As [`Machine::run`], for what must go well.
    #[track_caller]
    pub fn done(&self, program: &str, arguments: &[&str]) -> String {
        let (code, said) = self.run(program, arguments);
        let journal = || self.run("journalctl", &["--no-pager", "-n", "60"]).1;
        assert_eq!(code, 0, "{program} {arguments:?}: {said}\n{}", journal());
        said
    }

    /// A property of the service.
    pub fn property(&self, name: &str) -> String {
        self.done("systemctl", &["show", "--property", name, "--value", "relayscope.service"]).trim().to_owned()
    }

    pub fn journal(&self) -> String {
        self.run("journalctl", &["--no-pager", "-u", "relayscope"]).1
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- journal ---\n{}", self.run("journalctl", &["--no-pager", "-n", "100"]).1);
        }
        let _ = run(Command::new("kill").args(["-KILL", &self.first.to_string()]));
        // A group can be removed when the last process of it is gone.
        let until = Instant::now() + Duration::from_secs(10);
        while self.control_group.exists() && Instant::now() < until {
            let _ = run(Command::new("find").arg(&self.control_group).args(["-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn child_of(parent: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn inside(first: u32, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(path_of("nsenter"));
    command.args(["-t", &first.to_string(), "-m", "-p", "-u", "-i", "-C", "-r", "-w", "--", "/usr/bin/env", "-i"]);
    command.args(["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", program]).args(arguments);
    command
}
