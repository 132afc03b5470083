//! Courier as it comes from Debian, with the recipe's lines.

use std::cell::RefCell;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::support::process::{Output, Process};

use super::recipe::Recipe;
use super::root::Root;
use super::server::{PASSWORD, Receiving, Sending, Server, USER, mail_below, on_a_port, until};

pub struct Courier {
    _processes: Vec<Process>,
    /// Without it nobody is known, and mail is put off.
    authentication: RefCell<Option<Process>>,
    root: Root,
    address: SocketAddr,
}

/// As the package's own script starts the listener, but in the foreground.
const LISTEN: &str = "\
set -a; prefix=/usr; exec_prefix=/usr; sysconfdir=/etc/courier; sbindir=/usr/sbin; cd /usr; . /etc/courier/esmtpd
exec /usr/sbin/couriertcpd -stderrlogger=/usr/sbin/courierlogger -noidentlookup -nodnslookup -user=courier -group=courier -address=127.0.0.1 \
-maxprocs=40 -maxperc=40 -maxperip=40 $PORT /usr/lib/courier/courier/modules/esmtp/courieresmtpd";

const AUTHENTICATE: &str = "set -a; . /etc/courier/authdaemonrc; exec /usr/lib/courier/courier-authlib/authdaemond";

const DELIVER: &str = "set -a; cd /usr; . /etc/courier/courierd; exec /usr/lib/courier/courier/courierd";

impl Courier {
    pub fn sending(wanted: &Sending<'_>) -> Self {
        let recipe = Recipe::wanted("courier", wanted);
        let root = Root::new(wanted.place, "courier", wanted.name);
        root.write("etc/courier/esmtproutes", recipe.block("courier esmtproutes"));
        root.write_for(
            "etc/courier/esmtpauthclient",
            "courier",
            recipe.block("courier esmtpauthclient").replace("USER", wanted.user).replace("PASSWORD", PASSWORD),
        );
        // A connection isn't kept for the next message: what is offered there changes.
        root.write("etc/courier/esmtptimeoutkeepalive", "0\n");
        // Whoever connects may relay.
        Self::start(root, wanted.name, "RELAYCLIENT=\n", &format!("{}.example\n", wanted.name))
    }

    pub fn receiving(wanted: &Receiving<'_>) -> Self {
        let root = Root::new(wanted.place, "courier", wanted.name);
        let certificate = [fs::read(&wanted.certificates.key).unwrap(), fs::read(&wanted.certificates.certificate).unwrap()].concat();
        root.write_for("etc/courier/esmtpd.pem", "courier", certificate);
        root.write("etc/courier/esmtpacceptmailfor", "to.example\nfrom.example\n");
        root.write(
            "etc/courier/authdaemonrc",
            "authmodulelist=\"authuserdb\"\nauthmodulelistorig=\"authuserdb\"\ndaemons=2\nDEBUG_LOGIN=0\n",
        );
        root.dir_for("run/courier/authdaemon", "courier", 0o755);
        let mut users = String::new();
        for (user, id) in [(USER, 61_211), ("bob", 61_212), ("carol", 61_213), ("later", 61_214)] {
            users += &format!(
                "{user}\tuid={id}|gid={id}|home=/home/{user}|systempw={}|hmac-md5pw={}\n",
                hash(&root, "-md5"),
                hash(&root, "-hmac-md5")
            );
            let mail = format!("/home/{user}/Maildir");
            root.done("/usr/bin/maildirmake.courier", &[&mail]);
            root.done("/bin/chown", &["-R", &format!("{id}:{id}"), &mail]);
        }
        root.write_for("etc/courier/userdb", "root", users);
        root.done("/usr/sbin/makeuserdb", &[]);
        Self::start(root, wanted.name, "ESMTPAUTH_TLS=\"PLAIN LOGIN CRAM-MD5\"\nSIZELIMIT=10000000\n", "to.example\nfrom.example\n")
    }

    fn start(root: Root, name: &str, options: &str, locals: &str) -> Self {
        for dir in ["allfilters", "filters", "msgq", "msgs", "sts", "track"] {
            root.dir_for(&format!("var/lib/courier/{dir}"), "courier", 0o750);
        }
        root.dir_for("var/lib/courier/tmp", "courier", 0o770);
        root.dir_for("var/lib/courier", "courier", 0o755);
        root.dir_for("run/courier", "courier", 0o755);
        root.own("usr/lib/courier/courier/submitmkdir", "courier", 0o4755);
        root.write("etc/environment", "");
        root.write("etc/courier/me", format!("{name}.example\n"));
        root.write("etc/courier/defaultdomain", format!("{name}.example\n"));
        root.write("etc/courier/dsnfrom", "\"Courier mail server\" <@>\n");
        root.write("etc/courier/locals", locals);
        let esmtpd = fs::read_to_string(root.path("etc/courier/esmtpd")).unwrap();
        let (process, address) = on_a_port(&root.log, |port| {
            root.write("etc/courier/esmtpd", format!("{esmtpd}\nPORT={port}\nBOFHCHECKDNS=0\nTARPIT=0\nESMTP_LOG_DIALOG=1\n{options}"));
            root.start("/bin/sh", &["-c", LISTEN])
        });
        let delivery = root.start("/bin/sh", &["-c", DELIVER]);
        Self { _processes: vec![process, delivery], authentication: RefCell::default(), root, address }
    }
}

/// The password, as the user database wants it.
fn hash(root: &Root, form: &str) -> String {
    root.done("/bin/sh", &["-c", &format!("printf '%s\\n%s\\n' {PASSWORD} {PASSWORD} | userdbpw {form}")]).trim().to_owned()
}

impl Server for Courier {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn log(&self) -> &Output {
        &self.root.log
    }

    fn one_domain_setting(&self) -> bool {
        false
    }

    fn mail_files(&self, user: &str) -> Vec<(PathBuf, Vec<u8>)> {
        mail_below(&self.root, &format!("home/{user}/Maildir"))
    }

    fn put_off(&self) {
        self.authentication.take();
    }

    fn relent(&self) {
        let started = self.root.start("/bin/sh", &["-c", AUTHENTICATE]);
        until("the authentication daemon", self.log(), || self.root.path("run/courier/authdaemon/socket").exists().then_some(()));
        self.authentication.replace(Some(started));
    }

    fn flush(&self) {
        self.root.done("/usr/sbin/courier", &["flush"]);
    }
}
