//! A real Postfix with everything of its own: configuration, queue, ports, log.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::certificates::Certificates;
use super::client::Client;
use super::netns::Host;
use super::place::Place;
use super::ports;
use super::process::{Output, Process, run};
use super::programs::path_of;

/// As Debian's own file, nothing in a chroot, no local delivery.
const SERVICES: &str = "\
pickup     unix       n - n 60   1 pickup
cleanup    unix       n - n -    0 cleanup
qmgr       unix       n - n 300  1 qmgr
tlsmgr     unix       - - n 1000? 1 tlsmgr
rewrite    unix       - - n -    - trivial-rewrite
bounce     unix       - - n -    0 bounce
defer      unix       - - n -    0 bounce
trace      unix       - - n -    0 bounce
verify     unix       - - n -    1 verify
flush      unix       n - n 1000? 0 flush
proxymap   unix       - - n -    - proxymap
proxywrite unix       - - n -    1 proxymap
smtp       unix       - - n -    - smtp
relay      unix       - - n -    - smtp
showq      unix       n - n -    - showq
error      unix       - - n -    - error
retry      unix       - - n -    - error
discard    unix       - - n -    - discard
virtual    unix       - n n -    - virtual
anvil      unix       - - n -    1 anvil
scache     unix       - - n -    1 scache
postlog    unix-dgram n - n -    1 postlogd
";

/// Where a program runs: the program as it is to be started.
type Within<'a> = dyn Fn(&Command) -> Command + 'a;

pub struct Postfix {
    process: Process,
    pub address: SocketAddr,
    dir: PathBuf,
}

impl Postfix {
    /// A mail server that sends everything to `relay_host`; `extra` goes into its main.cf.
    pub fn front(place: &Place, relay_host: SocketAddr, extra: &str) -> Self {
        let extra = format!("relayhost = [{}]:{}\n{extra}", relay_host.ip(), relay_host.port());
        Self::named(place, "front", &extra)
    }

    /// With `extra` in its main.cf, and the name of its directory and host.
    pub fn named(place: &Place, name: &str, extra: &str) -> Self {
        Self::start(place, name, extra, None)
    }

    /// A mail server that keeps what comes for `good@to.example`, `bob@to.example` and others named so, and knows nobody else.
    pub fn behind(place: &Place, extra: &str) -> Self {
        let extra = format!("{}{extra}", mailboxes(&place.path("behind/mail")));
        Self::start(place, "behind", &extra, None)
    }

    /// A mail server on a host of a test's own network, on port 25 of each of its addresses.
    pub fn on(host: &Host, place: &Place, name: &str, extra: &str) -> Self {
        let listen: Vec<_> = host.addresses.iter().map(|ip| SocketAddr::new(*ip, 25)).collect();
        let extra = format!("{}{extra}", mailboxes(&place.path(name).join("mail")));
        Self::launch(place, name, &extra, &listen, Some(&|command| host.command(command))).expect("port 25 of its own")
    }

    /// As [`Postfix::on`], on this address and port alone.
    pub fn on_port(host: &Host, place: &Place, name: &str, listen: SocketAddr, extra: &str) -> Self {
        Self::on_ports(host, place, name, &[listen], extra)
    }

    /// As [`Postfix::on`], on these addresses and ports.
    pub fn on_ports(host: &Host, place: &Place, name: &str, listen: &[SocketAddr], extra: &str) -> Self {
        let extra = format!("{}{extra}", mailboxes(&place.path(name).join("mail")));
        Self::launch(place, name, &extra, listen, Some(&|command| host.command(command))).expect("ports of its own")
    }

    /// As [`Postfix::on_port`]; the names that it asks for are answered by that host's own resolver ([`super::dns::Dns::start_on`]).
    pub fn resolving(host: &Host, place: &Place, name: &str, listen: SocketAddr, extra: &str) -> Self {
        let extra = format!("{}{extra}", mailboxes(&place.path(name).join("mail")));
        let file = place.file(&format!("{name}/resolv.conf"), "nameserver 127.0.0.1\n");
        // In a mount namespace of its own, another file lies over /etc/resolv.conf.
        let within = |command: &Command| {
            let mut covered = Command::new(path_of("unshare"));
            covered.args(["--mount", "--propagation", "private", "sh", "-c"]);
            covered.arg(r#"mount --bind "$0" /etc/resolv.conf && exec "$@""#).arg(&file);
            covered.arg(command.get_program()).args(command.get_args());
            command.get_current_dir().map(|dir| covered.current_dir(dir));
            host.command(&covered)
        };
        Self::launch(place, name, &extra, &[listen], Some(&within)).expect("a port of its own")
    }

    /// Stops it where it stands, with all its children: the kernel still takes connections for it.
    pub fn hang(&self) {
        self.process.signal_group("STOP");
    }

    pub fn go_on(&self) {
        self.process.signal_group("CONT");
    }

    /// As [`Postfix::behind`], for users who have logged in over TLS, and nobody else. `users`: name and password.
    pub fn submission(place: &Place, certificates: &Certificates, users: &[(&str, &str)]) -> Self {
        Self::submission_as(place, "submission", certificates, users)
    }

    pub fn submission_as(place: &Place, name: &str, certificates: &Certificates, users: &[(&str, &str)]) -> Self {
        Self::submission_with(place, name, certificates, users, "")
    }

    /// With `more` in its main.cf.
    pub fn submission_with(place: &Place, name: &str, certificates: &Certificates, users: &[(&str, &str)], more: &str) -> Self {
        let sasl = sasl_users(place, name, users);
        let extra = format!(
            "virtual_mailbox_domains = to.example\n\
             virtual_mailbox_base = {mail}\n\
             virtual_mailbox_maps = inline:{{{{bob@to.example=bob/}}}}\n\
             virtual_uid_maps = static:65534\n\
             virtual_gid_maps = static:65534\n\
             smtpd_tls_security_level = may\n\
             smtpd_tls_cert_file = {certificate}\n\
             smtpd_tls_key_file = {key}\n\
             smtpd_tls_auth_only = yes\n\
             smtpd_sasl_auth_enable = yes\n\
             smtpd_sasl_type = cyrus\n\
             smtpd_sasl_path = smtpd\n\
             cyrus_sasl_config_path = {sasl}\n\
             smtpd_sasl_local_domain = submission.example\n\
             smtpd_client_restrictions = permit_sasl_authenticated, reject\n\
             {more}",
            mail = place.path(name).join("mail").display(),
            certificate = certificates.certificate.display(),
            key = certificates.key.display(),
            sasl = sasl.display(),
        );
        Self::start(place, name, &extra, None)
    }

    /// Ends the server; it can be started again on the same port, with its queue as it was left.
    pub fn stop(self) -> Stopped {
        Stopped { dir: self.dir.clone(), port: self.address.port() }
    }

    fn start(place: &Place, name: &str, extra: &str, port: Option<u16>) -> Self {
        loop {
            let chosen = port.unwrap_or_else(ports::unused);
            if let Some(started) = Self::try_start(place, name, extra, chosen) {
                return started;
            }
            assert!(port.is_none(), "port {chosen} is taken");
        }
    }

    /// `None` if the port is taken.
    fn try_start(place: &Place, name: &str, extra: &str, port: u16) -> Option<Self> {
        Self::launch(place, name, extra, &[SocketAddr::from(([127, 0, 0, 1], port))], None)
    }

    fn launch(place: &Place, name: &str, extra: &str, listen: &[SocketAddr], within: Option<&Within<'_>>) -> Option<Self> {
        let dir = place.dir(name);
        prepare(&dir, name, extra, listen);
        let conf = dir.join("conf");
        let (code, text) = run(Command::new(path_of("postfix")).arg("-c").arg(&conf).arg("check"));
        assert_eq!(code, 0, "postfix check: {text}");
        let mut command = Command::new(path_of("master"));
        command.arg("-c").arg(&conf).arg("-s").current_dir(&dir);
        if let Some(within) = within {
            command = within(&command);
        }
        let process = Process::start(command, true);
        let ready = process.output.wait_for("start of Postfix", |line| {
            if line.contains("daemon started") { Some(true) } else { line.contains("Address already in use").then_some(false) }
        });
        match ready {
            Some(true) => Some(Self { process, address: listen[0], dir }),
            Some(false) => None,
            None => panic!("Postfix did not start:\n{}", process.output.text()),
        }
    }

    pub fn log(&self) -> &Output {
        &self.process.output
    }

    pub fn client(&self) -> Client {
        Client::ready(self.address)
    }

    /// Queue as `postqueue -j` shows it: one JSON object a message.
    pub fn queue(&self) -> Vec<serde_json::Value> {
        let (code, text) = run(Command::new(path_of("postqueue")).arg("-c").arg(self.dir.join("conf")).arg("-j"));
        assert_eq!(code, 0, "postqueue: {text}");
        // Complaints about main.cf come along.
        text.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Tries all deferred mail again now.
    pub fn flush(&self) {
        let (code, text) = run(Command::new(path_of("postqueue")).arg("-c").arg(self.dir.join("conf")).arg("-f"));
        assert_eq!(code, 0, "postqueue: {text}");
    }

    /// Messages delivered to a mailbox of `to.example`.
    pub fn mailbox(&self, user: &str) -> Vec<String> {
        let new = self.dir.join("mail").join(user).join("new");
        let files = fs::read_dir(new).into_iter().flatten().flatten();
        files.map(|file| String::from_utf8_lossy(&fs::read(file.path()).unwrap()).into_owned()).collect()
    }
}

/// The users who can log in to the Postfix of that name, before it is started. Gives the directory of its SASL options, where Debian's
/// Postfix looks (beside its main.cf); others look where cyrus_sasl_config_path says.
pub fn sasl_users(place: &Place, name: &str, users: &[(&str, &str)]) -> PathBuf {
    let sasl = place.dir(&format!("{name}/conf/sasl"));
    let database = sasl.join("users.db");
    for (user, password) in users {
        add_sasl_user(&database, "submission.example", user, password);
    }
    fs::set_permissions(&database, fs::Permissions::from_mode(0o644)).unwrap();
    offer_mechanisms(&sasl, "PLAIN LOGIN CRAM-MD5");
    sasl
}

/// What is offered from the next process that reads it on.
pub fn offer_mechanisms(sasl: &Path, mechanisms: &str) {
    let database = sasl.join("users.db");
    let options =
        format!("pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {}\nmech_list: {mechanisms}\n", database.display());
    // Whoever reads it finds the one or the other.
    fs::write(sasl.join("smtpd.conf.new"), options).unwrap();
    fs::rename(sasl.join("smtpd.conf.new"), sasl.join("smtpd.conf")).unwrap();
}

/// Adds a user of Cyrus SASL to a database.
pub fn add_sasl_user(database: &Path, realm: &str, user: &str, password: &str) {
    let mut command = Command::new(path_of("saslpasswd2"));
    command.args(["-p", "-c", "-f"]).arg(database).args(["-u", realm, user]);
    feed(&mut command, password);
}

/// Runs a program that reads a secret from its standard input.
fn feed(command: &mut Command, secret: &str) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(secret.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{command:?}");
}

/// A Postfix that is not running.
pub struct Stopped {
    dir: PathBuf,
    port: u16,
}

impl Stopped {
    /// Starts it again without the settings that begin so.
    pub fn without(self, place: &Place, settings: &str) -> Postfix {
        let file = self.dir.join("conf/extra.cf");
        let kept = fs::read_to_string(&file).unwrap();
        let kept: String = kept.lines().filter(|line| !line.starts_with(settings)).map(|line| format!("{line}\n")).collect();
        fs::write(&file, kept).unwrap();
        self.start(place)
    }

    /// Starts it again with these settings in addition.
    pub fn with(self, place: &Place, settings: &str) -> Postfix {
        let file = self.dir.join("conf/extra.cf");
        let kept = fs::read_to_string(&file).unwrap();
        fs::write(&file, kept + settings).unwrap();
        self.start(place)
    }

    pub fn start(self, place: &Place) -> Postfix {
        let extra = fs::read_to_string(self.dir.join("conf/extra.cf")).unwrap();
        let name = self.dir.file_name().unwrap().to_str().unwrap();
        Postfix::start(place, name, &extra, Some(self.port))
    }
}

/// What makes a server keep mail for three users of `to.example`, and know nobody else.
fn mailboxes(base: &Path) -> String {
    format!(
        "virtual_mailbox_domains = to.example\n\
         virtual_mailbox_base = {}\n\
         virtual_mailbox_maps = inline:{{{{bob@to.example=bob/}}, {{carol@to.example=carol/}}, {{dave@to.example=dave/}}}}\n\
         virtual_uid_maps = static:65534\n\
         virtual_gid_maps = static:65534\n",
        base.display(),
    )
}

fn prepare(dir: &Path, name: &str, extra: &str, listen: &[SocketAddr]) {
    let at = |sub: &str| {
        let path = dir.join(sub);
        fs::create_dir_all(&path).unwrap();
        path
    };
    let (conf, spool, data, mail) = (at("conf"), at("spool"), at("data"), at("mail"));
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    let owner = fs::metadata("/var/lib/postfix").map(|it| it.uid()).unwrap_or_default();
    chown(&data, Some(owner), None).unwrap();
    chown(&mail, Some(65534), Some(65534)).unwrap();
    let own_network = listen.iter().any(|address| !address.ip().is_loopback());
    let main = format!(
        "compatibility_level = 3.6\n\
         queue_directory = {spool}\n\
         data_directory = {data}\n\
         maillog_file = /dev/stdout\n\
         inet_interfaces = 127.0.0.1\n\
         inet_protocols = {protocols}\n\
         mynetworks = {networks}\n\
         myhostname = {name}.example\n\
         myorigin = {name}.example\n\
         mydestination =\n\
         local_transport = error:nobody lives here\n\
         alias_maps =\n\
         alias_database =\n\
         smtp_dns_support_level = disabled\n\
         smtpd_peername_lookup = no\n\
         smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject\n\
         message_size_limit = 0\n\
         mailbox_size_limit = 0\n\
         virtual_mailbox_limit = 0\n\
         minimal_backoff_time = 1h\n\
         queue_run_delay = 1h\n\
         {extra}",
        spool = spool.display(),
        protocols = if own_network { "all" } else { "ipv4" },
        networks = if own_network { "10.25.0.0/16 [fd25::]/16" } else { "127.0.0.0/8" },
        data = data.display(),
    );
    fs::write(conf.join("main.cf"), last_of_each(&main)).unwrap();
    fs::write(conf.join("extra.cf"), extra).unwrap();
    let inet: String = listen.iter().map(|address| format!("{address} inet n - n - - smtpd\n")).collect();
    fs::write(conf.join("master.cf"), inet + SERVICES).unwrap();
}

/// Each setting once, as written last: Postfix complains of each other one to a log that isn't there yet, and of many it waits for it for ever.
fn last_of_each(main: &str) -> String {
    let name = |line: &str| line.split_once('=').map_or_else(|| line.to_owned(), |(name, _)| name.trim().to_owned());
    let lines: Vec<&str> = main.lines().collect();
    let is_last = |at: usize| !lines[at + 1..].iter().any(|later| name(later) == name(lines[at]));
    lines.iter().enumerate().filter(|(at, _)| is_last(*at)).map(|(_, line)| format!("{line}\n")).collect()
}
