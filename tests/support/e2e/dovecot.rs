//! A real Dovecot that takes mail by LMTP, with everything of its own.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command;

use super::place::Place;
use super::ports;
use super::process::{Output, Process};
use super::programs::path_of;

pub struct Dovecot {
    process: Process,
    pub address: SocketAddr,
    dir: PathBuf,
}

impl Dovecot {
    /// Knows bob, carol and dave of `to.example`; carol's mailbox is full, which it says after the message. `settings` are added.
    pub fn start(place: &Place, settings: &str) -> Self {
        loop {
            let address = SocketAddr::from(([127, 0, 0, 1], ports::unused()));
            if let Some(process) = try_start(place, settings, address) {
                return Self { process, address, dir: place.path("dovecot") };
            }
        }
    }

    pub fn log(&self) -> &Output {
        &self.process.output
    }

    pub fn mailbox(&self, user: &str) -> Vec<String> {
        let new = self.dir.join("mail").join(user).join("new");
        let files = fs::read_dir(new).into_iter().flatten().flatten();
        files.map(|file| String::from_utf8_lossy(&fs::read(file.path()).unwrap()).into_owned()).collect()
    }
}

/// `None` if the port is taken.
fn try_start(place: &Place, settings: &str, address: SocketAddr) -> Option<Process> {
    let (dir, mail) = (place.dir("dovecot"), place.dir("dovecot/mail"));
    chown(&mail, Some(65534), Some(65534)).unwrap();
    let users = "bob@to.example:::::::\ncarol@to.example:::::::userdb_quota_rule=*:bytes=1\ndave@to.example:::::::\n";
    let users = place.file("dovecot/users", users);
    let config = format!(
        "base_dir = {dir}/run\n\
         state_dir = {dir}/state\n\
         log_path = /dev/stderr\n\
         protocols = lmtp\n\
         ssl = no\n\
         mail_location = maildir:{mail}/%n\n\
         mail_home = {mail}/home/%n\n\
         first_valid_uid = 1\n\
         mail_plugins = quota\n\
         plugin {{\n  quota = maildir:Mailbox\n  quota_rule = *:bytes=10M\n}}\n\
         passdb {{\n  driver = passwd-file\n  args = {users}\n}}\n\
         userdb {{\n  driver = passwd-file\n  args = {users}\n  default_fields = uid=65534 gid=65534\n}}\n\
         service lmtp {{\n  inet_listener lmtp {{\n    address = 127.0.0.1\n    port = {port}\n  }}\n}}\n\
         {settings}\n",
        dir = dir.display(),
        mail = mail.display(),
        users = users.display(),
        port = address.port(),
    );
    let file = place.file("dovecot/dovecot.conf", config);
    let mut command = Command::new(path_of("dovecot"));
    command.arg("-F").arg("-c").arg(file);
    let process = Process::start(command, true);
    let ready = process.output.wait_for("start of Dovecot", |line| {
        if line.contains("starting up for lmtp") {
            Some(true)
        } else {
            (line.contains("Address already in use") || line.contains("is already in use")).then_some(false)
        }
    });
    match ready {
        Some(true) => Some(process),
        Some(false) => None,
        None => panic!("Dovecot did not start:\n{}", process.output.text()),
    }
}
