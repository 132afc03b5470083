//! rsyslog and syslog-ng, unpacked by `tests/servers/unpack`, each in a copy of its root, writing what it gets into a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::certificates::Certificates;
use super::place::Place;
use super::ports;
use super::process::{Process, run};
use super::programs::{is_root, skip};

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Rsyslog,
    SyslogNg,
}

/// What it listens for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Udp,
    Tcp,
    /// Clients show certificates, too.
    Tls,
}

pub struct LogServer {
    kind: Kind,
    root: PathBuf,
    pub port: u16,
    process: Option<Process>,
}

fn store(kind: Kind) -> PathBuf {
    let dir = std::env::var_os("RELAYSCOPE_SERVERS_DIR").map(PathBuf::from);
    let dir = dir.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("servers"));
    dir.join(if kind == Kind::Rsyslog { "rsyslog" } else { "syslog-ng" })
}

/// Whether it can run here; a word why not, or a failure where peers are required.
pub fn have(test: &str, kind: Kind) -> bool {
    if !is_root() {
        skip(test, "needs root");
    } else if !store(kind).join("version").is_file() {
        skip(test, &format!("{kind:?} isn't unpacked: tests/servers/unpack"));
    } else {
        return true;
    }
    false
}

impl LogServer {
    /// Its root and configuration; not started yet.
    pub fn new(place: &Place, kind: Kind, way: Way, certificates: Option<&Certificates>) -> Self {
        let root = place.path(&format!("{kind:?}"));
        let copied = run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(store(kind).join("root")).arg(&root));
        assert_eq!(copied.0, 0, "{}", copied.1);
        let port = ports::unused();
        for dir in ["etc", "dev", "run", "var/lib", "var/spool", "tmp", "var/lib/syslog-ng"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n").unwrap();
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n").unwrap();
        fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
        for (name, minor) in [("null", "3"), ("random", "8"), ("urandom", "9")] {
            let _ = run(Command::new("mknod").arg("-m").arg("666").arg(root.join("dev").join(name)).args(["c", "1", minor]));
        }
        if let Some(certificates) = certificates {
            for (name, file) in
                [("ca.pem", &certificates.authority), ("cert.pem", &certificates.certificate), ("key.pem", &certificates.key)]
            {
                fs::copy(file, root.join("etc").join(name)).unwrap();
            }
        }
        let config = match kind {
            Kind::Rsyslog => rsyslog(way, port),
            Kind::SyslogNg => syslog_ng(way, port),
        };
        fs::write(root.join("etc/test.conf"), config).unwrap();
        Self { kind, root, port, process: None }
    }

    pub fn start(&mut self) {
        let mut command = Command::new("chroot");
        command.arg(&self.root);
        match self.kind {
            Kind::Rsyslog => command.args(["/usr/sbin/rsyslogd", "-n", "-f", "/etc/test.conf", "-i", "/run/pid"]),
            Kind::SyslogNg => command.args([
                "/usr/sbin/syslog-ng",
                "-F",
                "--no-caps",
                "-e",
                "-f",
                "/etc/test.conf",
                "-R",
                "/tmp/persist",
                "-c",
                "/tmp/ctl",
            ]),
        };
        let _ = fs::remove_file(self.root.join("run/pid"));
        self.process = Some(Process::start(command, false));
        self.wait("the log server listens", || self.listens());
    }

    /// Whether its port is taken, on either protocol.
    fn listens(&self) -> bool {
        let wanted = format!(":{:04X} ", self.port);
        ["/proc/net/tcp", "/proc/net/udp"].iter().any(|file| {
            let table = fs::read_to_string(file).unwrap_or_default();
            table.lines().any(|line| line.split_whitespace().nth(1).is_some_and(|local| format!("{local} ").ends_with(&wanted)))
        })
    }

    /// Waits until it has written these words.
    pub fn expect(&self, words: &str) {
        self.wait(words, || self.text().contains(words));
    }

    fn wait(&self, what: &str, done: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}:\n{}", self.says());
            std::thread::sleep(Duration::from_millis(20)); // between two looks at what others do
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// In order.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.terminate();
        }
    }

    /// What it has written so far.
    pub fn text(&self) -> String {
        fs::read(self.root.join("tmp/out")).map(|octets| String::from_utf8_lossy(&octets).into_owned()).unwrap_or_default()
    }

    /// What it says itself.
    pub fn says(&self) -> String {
        self.process.as_ref().map(|process| process.output.text()).unwrap_or_default()
    }
}

fn rsyslog(way: Way, port: u16) -> String {
    let input = match way {
        Way::Udp => format!("module(load=\"imudp\")\ninput(type=\"imudp\" address=\"127.0.0.1\" port=\"{port}\" ruleset=\"out\")"),
        Way::Tcp => format!(
            "module(load=\"imtcp\" maxFrameSize=\"200000\")\ninput(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\" ruleset=\"out\")"
        ),
        Way::Tls => format!(
            "module(load=\"imtcp\" StreamDriver.Name=\"ossl\" StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"x509/certvalid\" maxFrameSize=\"200000\")\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\" ruleset=\"out\")"
        ),
    };
    format!(
        "global(maxMessageSize=\"128k\" workDirectory=\"/tmp\" parser.escapeControlCharactersOnReceive=\"on\" defaultNetstreamDriver=\"ossl\" \
         defaultNetstreamDriverCAFile=\"/etc/ca.pem\" defaultNetstreamDriverCertFile=\"/etc/cert.pem\" defaultNetstreamDriverKeyFile=\"/etc/key.pem\")\n\
         template(name=\"line\" type=\"string\" string=\"%syslogfacility-text%|%syslogseverity-text%|%timereported:::date-rfc3339%|%hostname%|%app-name%|%msgid%|%structured-data%|%msg%\\n\")\n\
         ruleset(name=\"out\") {{ action(type=\"omfile\" file=\"/tmp/out\" template=\"line\" asyncWriting=\"off\" flushOnTXEnd=\"on\") }}\n{input}\n"
    )
    .replace("defaultNetstreamDriver=\"ossl\" ", if way == Way::Tls { "defaultNetstreamDriver=\"ossl\" " } else { "" })
}

fn syslog_ng(way: Way, port: u16) -> String {
    let source = match way {
        Way::Udp => format!("syslog(ip(127.0.0.1) port({port}) transport(\"udp\"))"),
        Way::Tcp => format!("syslog(ip(127.0.0.1) port({port}) transport(\"tcp\"))"),
        Way::Tls => format!(
            "syslog(ip(127.0.0.1) port({port}) transport(\"tls\") tls(key-file(\"/etc/key.pem\") cert-file(\"/etc/cert.pem\") ca-file(\"/etc/ca.pem\") peer-verify(required-trusted)))"
        ),
    };
    format!(
        "@version: 3.38\noptions {{ log-msg-size(200000); flush-lines(1); keep-hostname(yes); }};\nsource in {{ {source}; }};\n\
         template line {{ template(\"${{FACILITY}}|${{LEVEL}}|${{ISODATE}}|${{HOST}}|${{PROGRAM}}|${{MSGID}}|${{SDATA}}|${{MESSAGE}}\\n\"); }};\n\
         destination out {{ file(\"/tmp/out\" template(line)); }};\nlog {{ source(in); destination(out); }};\n"
    )
}
