//! Sendmail as it comes from Debian, its configuration made from the recipe's mc lines.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::support::postfix::add_sasl_user;
use crate::support::process::{Output, Process};

use super::recipe::Recipe;
use super::root::Root;
use super::server::{PASSWORD, Receiving, Sending, Server, USER, mail_below, on_a_port};

const PROGRAM: &str = "/usr/libexec/sendmail/sendmail";

const REALM: &str = "submission.example";

pub struct Sendmail {
    _process: Process,
    root: Root,
    address: SocketAddr,
}

/// No DNS, no waiting: neither for a name nor because another process is still closing its connection to the same host.
const COMMON: &str = "\
define(`_USE_ETC_MAIL_')dnl
include(`/usr/share/sendmail/cf/m4/cf.m4')dnl
OSTYPE(`debian')dnl
undefine(`confHOST_STATUS_DIRECTORY')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
define(`ALIAS_FILE', `/etc/mail/aliases')dnl
define(`confTO_IDENT', `0')dnl
define(`confDONT_PROBE_INTERFACES', `True')dnl
define(`confAUTH_MECHANISMS', `LOGIN PLAIN CRAM-MD5')dnl
define(`confLOG_LEVEL', `14')dnl
define(`confQUEUE_LA', `1000')dnl
define(`confREFUSE_LA', `1000')dnl
";

impl Sendmail {
    pub fn sending(wanted: &Sending<'_>) -> Self {
        let recipe = Recipe::wanted("sendmail", wanted);
        let root = Root::new(wanted.place, "sendmail", wanted.name);
        let login = recipe.block("sendmail authinfo").replace("USER", wanted.user).replace("PASSWORD", PASSWORD);
        root.write_for("etc/mail/authinfo", "root", login);
        root.write("etc/mail/sendmail.cf", "");
        root.done("/bin/sh", &["-c", "/usr/sbin/makemap hash /etc/mail/authinfo </etc/mail/authinfo && chmod 600 /etc/mail/authinfo.db"]);
        let mx = if wanted.one_domain { recipe.block("sendmail mx") } else { String::new() };
        Self::start(root, wanted.name, &format!("FEATURE(`promiscuous_relay')dnl\n{}{mx}", recipe.block("sendmail mc")))
    }

    pub fn receiving(wanted: &Receiving<'_>) -> Self {
        let root = Root::new(wanted.place, "sendmail", wanted.name);
        root.write_for("etc/mail/server.crt", "root", fs::read(&wanted.certificates.certificate).unwrap());
        root.write_for("etc/mail/server.key", "root", fs::read(&wanted.certificates.key).unwrap());
        root.dir_for("etc/mail/smrsh", "root", 0o755);
        symlink("/usr/libexec/sendmail/mail.local", root.path("etc/mail/smrsh/mail.local")).unwrap();
        root.write("etc/mail/local-host-names", "to.example\nfrom.example\n");
        root.write("etc/sasl2/Sendmail.conf", "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN CRAM-MD5\n");
        add_sasl_user(&root.path("etc/sasldb2"), REALM, USER, PASSWORD);
        root.write("etc/mail/sendmail.cf", "");
        access(&root, "To:later@to.example ERROR:4.2.0:450 come back later\n");
        Self::start(
            root,
            wanted.name,
            "FEATURE(`use_cw_file')dnl\n\
             FEATURE(`access_db', `hash /etc/mail/access', `skip')dnl\n\
             FEATURE(`blacklist_recipients')dnl\n\
             define(`confSERVER_CERT', `/etc/mail/server.crt')dnl\n\
             define(`confSERVER_KEY', `/etc/mail/server.key')dnl\n\
             define(`confAUTH_REALM', `submission.example')dnl\n\
             define(`confCACERT_PATH', `/etc/mail')dnl\n\
             define(`confCACERT', `/etc/mail/server.crt')dnl\n\
             define(`confMAX_MESSAGE_SIZE', `10000000')dnl\n\
             TRUST_AUTH_MECH(`LOGIN PLAIN CRAM-MD5')dnl\n",
        )
    }

    fn start(root: Root, name: &str, lines: &str) -> Self {
        root.dir_for("var/spool/mqueue", "root", 0o700);
        root.dir_for("var/lib/sendmail", "root", 0o755);
        root.dir_for("run/sendmail/mta", "root", 0o755);
        for file in ["local-host-names", "trusted-users", "relay-domains", "helpfile", "aliases"] {
            let file = format!("etc/mail/{file}");
            if !root.path(&file).exists() {
                root.write(&file, "");
            }
        }
        root.write("etc/mail/service.switch", "hosts files\naliases files\n");
        let (process, address) = on_a_port(&root.log, |port| {
            let own = format!(
                "define(`confDOMAIN_NAME', `{name}.example')dnl\nDAEMON_OPTIONS(`Family=inet, Name=MTA, Port={port}, Addr=127.0.0.1')dnl\n\
                 define(`confSERVICE_SWITCH_FILE', `/etc/mail/service.switch')dnl\n"
            );
            root.write("etc/mail/sendmail.mc", format!("{COMMON}{own}{lines}MAILER(`local')dnl\nMAILER(`smtp')dnl\n"));
            root.done("/bin/sh", &["-c", "m4 /etc/mail/sendmail.mc >/etc/mail/sendmail.cf"]);
            root.done(PROGRAM, &["-C", "/etc/mail/sendmail.cf", "-bi"]);
            root.start(PROGRAM, &["-bD", "-C", "/etc/mail/sendmail.cf"])
        });
        Self { _process: process, root, address }
    }
}

/// Sets what is refused.
fn access(root: &Root, lines: &str) {
    root.write("etc/mail/access", lines);
    root.done("/bin/sh", &["-c", "/usr/sbin/makemap hash /etc/mail/access </etc/mail/access"]);
}

impl Server for Sendmail {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn log(&self) -> &Output {
        &self.root.log
    }

    fn mail_files(&self, user: &str) -> Vec<(PathBuf, Vec<u8>)> {
        mail_below(&self.root, &format!("var/mail/{user}"))
    }

    fn relent(&self) {
        access(&self.root, "To:nobody@to.example ERROR:4.2.0:450 come back later\n");
    }

    fn login(&self) -> String {
        format!("{USER}@{REALM}")
    }

    fn flush(&self) {
        self.root.done(PROGRAM, &["-C", "/etc/mail/sendmail.cf", "-q"]);
    }
}
