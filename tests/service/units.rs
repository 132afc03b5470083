//! The units, as systemd's own tools read them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::place::Place;
use crate::support::process::run;
use crate::support::programs::{need, path_of};
use crate::support::relayscope::BINARY;

/// The worst exposure that `systemd-analyze security` may find, of 10.
const EXPOSURE: f64 = 1.5;

fn unit(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(unit(name)).unwrap()
}

/// Values of a setting in a unit, in order.
fn values<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect()
}

fn analyze(arguments: &[&str]) -> (i32, String) {
    run(Command::new(path_of("systemd-analyze")).args(arguments).env("SYSTEMD_COLORS", "0").env("LC_ALL", "C.UTF-8"))
}

#[test]
fn the_service_is_hardened() {
    need!("systemd-analyze");
    let (_, said) = analyze(&["security", "--offline=yes", "--no-pager", unit("relayscope.service").to_str().unwrap()]);
    let line = said.lines().find(|line| line.contains("Overall exposure level")).unwrap_or_else(|| panic!("no level: {said}"));
    let level: f64 = line.rsplit_once(": ").unwrap().1.split(' ').next().unwrap().parse().unwrap();
    assert!(level <= EXPOSURE, "{said}");
}

#[test]
fn systemd_understands_every_line() {
    need!("systemd-analyze");
    let place = Place::new();
    let service = text("relayscope.service").replace("/usr/bin/relayscope", BINARY);
    let service = place.file("relayscope.service", service);
    let socket = place.file("relayscope.socket", text("relayscope.socket"));
    for drop_in in ["intercept.conf", "credentials.conf"] {
        place.file(&format!("relayscope.service.d/{drop_in}"), text(drop_in));
    }
    let (code, said) = analyze(&["verify", "--man=no", service.to_str().unwrap(), socket.to_str().unwrap()]);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("relayscope")).collect();
    assert!(code == 0 && ours.is_empty(), "{code}: {said}");
}

/// The unit's stop time-out lets the drain end.
#[test]
fn a_drain_has_the_time_it_may_take() {
    let default = relayscope::config::TEMPLATE.lines().find_map(|line| line.strip_prefix("#drain = ")).unwrap();
    assert_eq!(default, "\"20m\"");
    assert_eq!(values(&text("relayscope.service"), "TimeoutStopSec"), ["21min"]);
}

/// Both read the same files.
#[test]
fn the_socket_opens_what_the_default_configuration_listens_on() {
    let listen = relayscope::config::TEMPLATE.lines().find_map(|line| line.strip_prefix("#listen = [\"")?.strip_suffix("\"]")).unwrap();
    assert_eq!(values(&text("relayscope.socket"), "ListenStream"), [listen]);
}

#[test]
fn sysusers_and_tmpfiles_are_understood() {
    need!("root", "systemd-sysusers", "systemd-tmpfiles");
    let place = Place::new();
    let root = place.dir("root");
    fs::create_dir_all(root.join("etc/relayscope")).unwrap();
    fs::write(root.join("etc/relayscope/relayscope.toml"), "").unwrap();
    for program in [["systemd-sysusers", "sysusers.conf", ""], ["systemd-tmpfiles", "tmpfiles.conf", "--create"]] {
        let [name, file, create] = program;
        let mut command = Command::new(path_of(name));
        command.arg(format!("--root={}", root.display())).args([create].iter().filter(|it| !it.is_empty())).arg(unit(file));
        let (code, said) = run(&mut command);
        assert_eq!(code, 0, "{said}");
    }
    use std::os::unix::fs::MetadataExt as _;
    let users = fs::read_to_string(root.join("etc/passwd")).unwrap();
    let user = users.lines().find(|line| line.starts_with("relayscope:")).unwrap();
    assert!(user.ends_with(":/var/lib/relayscope:/usr/sbin/nologin"), "{user}");
    let id: u32 = user.split(':').nth(2).unwrap().parse().unwrap();
    let is = |path: &str, owner: u32, mode: u32| {
        let found = fs::metadata(root.join(path)).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (owner, id, mode), "{path}");
    };
    is("etc/relayscope", 0, 0o750);
    is("etc/relayscope/relayscope.toml", 0, 0o640);
    is("var/lib/relayscope", id, 0o750);
}
