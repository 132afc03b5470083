//! A root of its own for a server that `tests/servers/unpack` has unpacked: run in a chroot, with users, devices and a log of its own.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::place::Place;
use crate::support::process::{Output, Process, run};
use crate::support::programs::{is_root, path_of, skip};

use super::names;

/// The servers' own users, as their packages would have made them, and those whom mail is for.
const USERS: &[(&str, u32)] = &[
    ("root", 0),
    ("daemon", 1),
    ("mail", 8),
    ("Debian-exim", 61_201),
    ("smmta", 61_202),
    ("smmsp", 61_203),
    ("opensmtpd", 61_204),
    ("opensmtpq", 61_205),
    ("courier", 61_206),
    ("ann", 61_211),
    ("bob", 61_212),
    ("carol", 61_213),
    ("later", 61_214),
    ("nobody", 65_534),
];

/// Devices by name and minor number of major 1.
const DEVICES: &[(&str, u32)] = &[("null", 3), ("zero", 5), ("random", 8), ("urandom", 9)];

pub struct Root {
    dir: PathBuf,
    pub log: Output,
}

/// Whether the server is unpacked here; a word why not, or a failure where peers are required.
pub fn have(test: &str, server: &str) -> bool {
    if !is_root() {
        skip(test, "needs root");
    } else if server != "postfix" && !store(server).join("version").is_file() {
        skip(test, &format!("{server} isn't unpacked: tests/servers/unpack"));
    } else {
        return true;
    }
    false
}

/// The package's version.
pub fn version(server: &str) -> String {
    if server == "postfix" {
        let (_, version) = run(Command::new(path_of("postconf")).args(["-d", "-h", "mail_version"]));
        return version.trim().to_owned();
    }
    fs::read_to_string(store(server).join("version")).unwrap().trim().to_owned()
}

fn store(server: &str) -> PathBuf {
    let dir = std::env::var_os("RELAYSCOPE_SERVERS_DIR").map(PathBuf::from);
    dir.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("servers")).join(server)
}

impl Root {
    pub fn new(place: &Place, server: &str, name: &str) -> Self {
        let dir = place.path(name);
        copy(&store(server).join("root"), &dir);
        let root = Self { dir, log: Output::default() };
        let lines = |line: &dyn Fn(&str, u32) -> String| USERS.iter().map(|(user, id)| line(user, *id)).collect::<String>();
        root.write("etc/passwd", lines(&|user, id| format!("{user}:x:{id}:{id}:{user}:/home/{user}:/bin/sh\n")));
        root.write("etc/group", lines(&|user, id| format!("{user}:x:{id}:\n")));
        root.write("etc/shadow", lines(&|user, _| format!("{user}:*:19000:0:99999:7:::\n")));
        // What isn't in here doesn't exist.
        root.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\nprotocols: files\n");
        root.write("etc/resolv.conf", format!("nameserver {}\n", names::serve_nothing()));
        root.write("etc/hosts", format!("127.0.0.1 localhost {name}.example {name}\n"));
        root.write("etc/mailname", format!("{name}.example\n"));
        for (user, _) in USERS.iter().filter(|(_, id)| (61_211..65_000).contains(id)) {
            root.dir_for(&format!("home/{user}"), user, 0o755);
        }
        root.dir_for("root", "root", 0o700);
        root.dir_for("tmp", "root", 0o1777);
        root.dir_for("var/tmp", "root", 0o1777);
        root.dir_for("var/mail", "mail", 0o1777);
        root.dir_for("run", "root", 0o755);
        let _ = symlink("../run", root.path("var/run"));
        if !root.path("usr/bin/sh").exists() {
            symlink("dash", root.path("usr/bin/sh")).unwrap();
        }
        root.make_devices();
        root.follow_log();
        root
    }

    /// A program of the server's own becomes this user's, with these permissions: on a copy, since the file itself is shared.
    pub fn own(&self, inside: &str, user: &str, mode: u32) {
        let (path, copy) = (self.path(inside), self.path(&format!("{inside}.own")));
        fs::copy(&path, &copy).unwrap();
        fs::rename(&copy, &path).unwrap();
        self.give(inside, user);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn make_devices(&self) {
        self.dir_for("dev", "root", 0o755);
        for (name, minor) in DEVICES {
            let device = self.path("dev").join(name);
            let (code, said) = run(Command::new("mknod").args(["-m", "666"]).arg(&device).args(["c", "1", &minor.to_string()]));
            assert_eq!(code, 0, "{said}");
        }
    }

    /// What the server says to syslog becomes lines of its log.
    fn follow_log(&self) {
        let path = self.path("dev/log");
        let socket = UnixDatagram::bind(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        self.log.follow(theirs);
        std::thread::spawn(move || {
            let mut octets = vec![0; 64 * 1024];
            while let Ok(read) = socket.recv(&mut octets) {
                let text = String::from_utf8_lossy(&octets[..read]);
                // "<22>Nov 26 20:00:00 program[1]: text"
                let text = text.split_once('>').map_or(&*text, |(_, text)| text).trim_end_matches(['\n', '\0']);
                if ours.write_all(format!("{text}\n").as_bytes()).is_err() {
                    return;
                }
            }
        });
    }

    pub fn path(&self, inside: &str) -> PathBuf {
        self.dir.join(inside)
    }

    pub fn write(&self, inside: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(inside);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// A file that only `user` may read.
    pub fn write_for(&self, inside: &str, user: &str, text: impl AsRef<[u8]>) {
        let path = self.write(inside, text);
        self.give(inside, user);
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub fn dir_for(&self, inside: &str, user: &str, mode: u32) {
        let path = self.path(inside);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        self.give(inside, user);
    }

    pub fn give(&self, inside: &str, user: &str) {
        let id = id_of(user);
        chown(self.path(inside), Some(id), Some(id)).unwrap();
    }

    /// Runs a program of the root to its end: its exit code and what it printed.
    pub fn run(&self, program: &str, arguments: &[&str]) -> (i32, String) {
        run(&mut self.command(program, arguments))
    }

    /// As [`Root::run`], for what must go well.
    #[track_caller]
    pub fn done(&self, program: &str, arguments: &[&str]) -> String {
        let (code, said) = self.run(program, arguments);
        assert_eq!(code, 0, "{program}: {said}");
        said
    }

    /// A program that stays in the foreground; it and all its children end with what is returned, or with the root.
    pub fn start(&self, program: &str, arguments: &[&str]) -> Process {
        let inside = self.command(program, arguments);
        let mut command = Command::new(path_of("setsid"));
        command.arg(inside.get_program()).args(inside.get_args()).env_clear();
        inside.get_envs().for_each(|(name, value)| {
            command.env(name, value.unwrap_or_default());
        });
        Process::start(command, true)
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(path_of("chroot"));
        command.arg(&self.dir).arg(program).args(arguments);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root");
        command
    }
}

impl Drop for Root {
    /// Ends whoever still runs in here: servers leave the process group they were started in.
    fn drop(&mut self) {
        let Ok(dir) = fs::canonicalize(&self.dir) else { return };
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            if fs::read_link(process.path().join("root")).is_ok_and(|root| root.starts_with(&dir)) {
                let _ = run(Command::new("kill").args(["-KILL", "--"]).arg(process.file_name()));
            }
        }
        if std::thread::panicking() {
            eprintln!("--- log of {} ---\n{}", self.dir.display(), self.log.text());
        }
    }
}

fn id_of(user: &str) -> u32 {
    USERS.iter().find(|(name, _)| *name == user).unwrap_or_else(|| panic!("no user {user}")).1
}

/// A copy whose programs and libraries, which nobody writes to, are the same files where that is possible.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (source, name) = (entry.path(), entry.file_name());
        let linked = name == "usr" && run(Command::new("cp").args(["-al", "--"]).arg(&source).arg(to)).0 == 0;
        if !linked {
            let (code, said) = run(Command::new("cp").args(["-a", "--"]).arg(&source).arg(to));
            assert_eq!(code, 0, "{said}");
        }
    }
}
