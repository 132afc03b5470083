//! OpenSMTPD as it comes from Debian, with the recipe's lines.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::support::place::Place;
use crate::support::process::{Output, Process};

use super::recipe::Recipe;
use super::root::Root;
use super::server::{PASSWORD, Receiving, Sending, Server, USER, mail_below, on_a_port};

pub struct OpenSmtpd {
    process: Process,
    root: Root,
    address: SocketAddr,
}

/// No waiting between connections, and none is kept.
const QUICK: &str = "\
mta limit session-keepalive 0
mta limit session-transaction-delay 0
mta limit conn-delay-host 0
mta limit conn-delay-source 0
mta limit conn-delay-connector 0
mta limit conn-delay-relay 0
mta limit conn-delay-domain 0
";

impl OpenSmtpd {
    pub fn sending(wanted: &Sending<'_>) -> Self {
        let recipe = Recipe::wanted("opensmtpd", wanted);
        let root = Self::root(wanted.place, wanted.name);
        root.write_for(
            "etc/mail/secrets",
            "root",
            recipe.block("opensmtpd secrets").replace("USER", wanted.user).replace("PASSWORD", PASSWORD),
        );
        root.write("etc/ssl/certs/ca-certificates.crt", fs::read(wanted.authority).unwrap());
        let lines = recipe.block("opensmtpd");
        Self::start(root, wanted.name, |port| {
            format!("{QUICK}listen on 127.0.0.1 port {port}\n{lines}match from any for any action \"relayscope\"\n")
        })
    }

    pub fn receiving(wanted: &Receiving<'_>) -> Self {
        let root = Self::root(wanted.place, wanted.name);
        root.write_for("etc/mail/server.crt", "root", fs::read(&wanted.certificates.certificate).unwrap());
        root.write_for("etc/mail/server.key", "root", fs::read(&wanted.certificates.key).unwrap());
        let hash = root.done("/usr/sbin/smtpctl", &["encrypt", PASSWORD]);
        root.write("etc/mail/credentials", format!("{USER} {}\n", hash.trim()));
        root.give("etc/mail/credentials", "opensmtpd");
        root.write("etc/mail/put-off", "later@to.example\n");
        Self::start(root, wanted.name, |port| {
            format!(
                "table put-off file:/etc/mail/put-off\n\
                 filter put-off phase rcpt-to match rcpt-to <put-off> reject \"450 4.2.0 come back later\"\n\
                 pki test cert \"/etc/mail/server.crt\"\npki test key \"/etc/mail/server.key\"\n\
                 table credentials file:/etc/mail/credentials\n\
                 listen on 127.0.0.1 port {port} tls pki test auth-optional <credentials> filter put-off\n\
                 action mailbox maildir\n\
                 match from any for domain {{ to.example, from.example }} action mailbox\n"
            )
        })
    }

    fn root(place: &Place, name: &str) -> Root {
        let root = Root::new(place, "opensmtpd", name);
        root.own("usr/sbin/smtpctl", "opensmtpq", 0o2755);
        root
    }

    fn start(root: Root, name: &str, config: impl Fn(u16) -> String) -> Self {
        root.write("etc/mail/mailname", format!("{name}.example\n"));
        root.dir_for("var/spool/smtpd", "root", 0o711);
        root.dir_for("var/lib/opensmtpd/empty", "root", 0o711);
        root.dir_for("var/empty", "root", 0o711);
        let (process, address) = on_a_port(&root.log, |port| {
            root.write_for("etc/smtpd.conf", "root", config(port));
            root.start("/usr/sbin/smtpd", &["-d", "-v"])
        });
        Self { process, root, address }
    }
}

impl Server for OpenSmtpd {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn log(&self) -> &Output {
        &self.process.output
    }

    fn one_domain_setting(&self) -> bool {
        false
    }

    fn mail_files(&self, user: &str) -> Vec<(PathBuf, Vec<u8>)> {
        mail_below(&self.root, &format!("home/{user}/Maildir"))
    }

    fn relent(&self) {
        self.root.write("etc/mail/put-off", "nobody@to.example\n");
        self.root.done("/usr/sbin/smtpctl", &["update", "table", "put-off"]);
    }

    fn flush(&self) {
        self.root.done("/usr/sbin/smtpctl", &["schedule", "all"]);
    }
}
