//! The container file's second stage, made and run by podman as the compose example says: without root, read-only, without capabilities.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::machine::archive;
use crate::support::PATIENCE;
use crate::support::place::Place;
use crate::support::process::run;
use crate::support::programs::{need, path_of, skip};
use crate::support::relayscope::{BINARY, command};
use crate::support::sink::{Manner, Sink};

const NAME: &str = "relayscope";

/// A podman with images and containers of its own, which go with it.
struct Podman {
    place: PathBuf,
}

impl Podman {
    fn command(&self, arguments: &[&str]) -> Command {
        let at = |name: &str| self.place.join(name).display().to_string();
        let mut command = Command::new(path_of("podman"));
        command.args(["--root", &at("storage"), "--runroot", &at("run"), "--tmpdir", &at("tmp"), "--storage-driver", "vfs"]);
        command.args(["--runtime", "runc", "--cgroup-manager", "cgroupfs"]).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> (i32, String) {
        run(&mut self.command(arguments))
    }

    #[track_caller]
    fn done(&self, arguments: &[&str]) -> String {
        let (code, said) = self.run(arguments);
        assert_eq!(code, 0, "podman {arguments:?}: {said}\n{}", self.run(&["logs", NAME]).1);
        said
    }

    /// An image of all that is in the archive.
    fn import(&self, archive: &Path, name: &str) -> (i32, String) {
        self.run(&["import", "--quiet", &archive.display().to_string(), name])
    }

    /// Waits until the health check says so.
    fn healthy(&self) {
        let until = Instant::now() + PATIENCE;
        while self.run(&["healthcheck", "run", NAME]).0 != 0 {
            assert!(Instant::now() < until, "not healthy:\n{}", self.run(&["logs", NAME]).1);
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.run(&["rm", "--force", "--all", "--time", "0"]);
        let _ = self.run(&["system", "reset", "--force"]);
    }
}

/// What the container file makes after its first stage, from the program that these tests have anyway.
fn image(place: &Place, podman: &Podman) {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = place.dir("built/src/target/release");
    let strip = run(Command::new(path_of("strip")).arg("--strip-debug").arg("-o").args([built.join(NAME), BINARY.into()]));
    assert_eq!(strip.0, 0, "{}", strip.1);
    let tar = place.path("built.tar");
    let packed = run(Command::new(path_of("tar")).arg("-cf").arg(&tar).arg("-C").arg(place.path("built")).arg("src"));
    assert_eq!(packed.0, 0, "{}", packed.1);
    let (code, said) = podman.import(&tar, "localhost/built");
    assert_eq!(code, 0, "{said}");

    let context = place.dir("context");
    fs::create_dir(context.join("config")).unwrap();
    fs::copy(own.join("config/relayscope.toml"), context.join("config/relayscope.toml")).unwrap();
    let text = fs::read_to_string(own.join("deploy/container/Containerfile")).unwrap();
    let second = text.rfind("\nFROM ").unwrap();
    fs::write(context.join("Containerfile"), format!("FROM localhost/built AS build\n{}", &text[second..])).unwrap();
    let (file, context) = (context.join("Containerfile").display().to_string(), context.display().to_string());
    let how = ["build", "--format", "docker", "--layers=false", "--isolation", "chroot", "--network", "host"];
    podman.done(
        &[how.as_slice(), &["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=512:512", "-t", NAME, "-f", &file, &context]].concat(),
    );
}

/// A message by hand, through this address.
fn send(address: &str) -> (i32, String) {
    let mut swaks = Command::new(path_of("swaks"));
    swaks.args(["--server", address, "--from", "alice@example.com", "--to", "bob@example.org", "--helo", "mail.example.com"]);
    run(&mut swaks)
}

fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

#[test]
fn made_run_stopped_and_started_again() {
    need!("root", "podman", "runc", "strip", "tar", "swaks");
    let test = "service::runtime";
    let Some(archive) = archive() else { return skip(test, "there is no root to begin with: tests/servers/unpack") };
    let place = Place::new();
    let podman = Podman { place: place.dir("podman") };
    let base = "docker.io/library/debian:bookworm-slim";
    let (code, said) = podman.import(&archive, base);
    assert_eq!(code, 0, "{said}");
    let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=512:512", "--network", "host"];
    let (code, said) = podman.run(&[&["run", "--rm"], limits.as_slice(), &[base, "true"]].concat());
    if code != 0 {
        // As with machines that can't be booted: what this one doesn't let a container do is no failure.
        return eprintln!("SKIPPED {test}: no container runs here: {said}");
    }
    image(&place, &podman);

    let (sink, address) = (Sink::start(Manner::Take), format!("127.0.0.1:{}", free_port()));
    let smart_host = sink.address.to_string();
    let init = ["config", "init", "relayscope.toml", "--smart-host", &smart_host, "--listen", &address];
    let (code, said) = run(&mut command(&place, &init));
    assert_eq!(code, 0, "{said}");
    let config = place.path("relayscope.toml");
    let owned = run(Command::new("chown").arg("2525:2525").arg(&config));
    assert_eq!(owned.0, 0, "{}", owned.1);
    let mounted = format!("{}:/etc/relayscope/relayscope.toml:ro", config.display());
    let bare = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"];
    let volumes = ["-v", "traces:/var/lib/relayscope", "-v", &mounted];
    podman.done(&[&["run", "--detach", "--name", NAME], bare.as_slice(), &volumes, &limits, &[NAME]].concat());
    podman.healthy();
    assert_eq!(podman.done(&["exec", NAME, "id", "-u"]).trim(), "2525");

    let (code, said) = send(&address);
    assert_eq!(code, 0, "{said}");
    let answer = |word: &str| podman.done(&["exec", NAME, "relayscope", "where", word]);
    assert!(answer("bob@example.org").starts_with("Accepted by 127.0.0.1"), "{}", answer("bob@example.org"));

    // The traces are on the volume: a container that is made anew has them.
    podman.done(&["stop", "--time", "60", NAME]);
    assert_eq!(podman.done(&["inspect", "--format", "{{.State.ExitCode}}", NAME]).trim(), "0", "it ended by itself, when it was told to");
    podman.done(&["rm", NAME]);
    podman.done(&[&["run", "--detach", "--name", NAME], bare.as_slice(), &volumes, &limits, &[NAME]].concat());
    podman.healthy();
    assert!(answer("bob@example.org").starts_with("Accepted by 127.0.0.1"), "{}", answer("bob@example.org"));
}
