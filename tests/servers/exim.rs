//! Exim 4 as it comes from Debian, with the recipe's router and transport.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::support::process::{Output, Process};

use super::recipe::Recipe;
use super::root::Root;
use super::server::{PASSWORD, Receiving, Sending, Server, USER, mail_below, on_a_port};

pub struct Exim {
    _process: Process,
    root: Root,
    address: SocketAddr,
}

/// Offers whatever Exim has.
const OFFERS: &str = "\
log_file_path = : syslog
syslog_timestamp = no
syslog_duplication = no
log_selector = +all
local_interfaces = 127.0.0.1
dsn_advertise_hosts = *
smtputf8_advertise_hosts = *
chunking_advertise_hosts = *
pipelining_advertise_hosts = *
accept_8bitmime = true
acl_smtp_mail = accept
acl_smtp_rcpt = acl_rcpt
never_users = root
host_lookup =
rfc1413_query_timeout = 0s
keep_environment =
queue_run_max = 5
";

impl Exim {
    pub fn sending(wanted: &Sending<'_>) -> Self {
        let recipe = Recipe::wanted("exim", wanted);
        let mx = if wanted.one_domain { recipe.block("exim mx") } else { String::new() };
        let login = recipe.block("exim login").replace("USER", wanted.user).replace("PASSWORD", PASSWORD);
        let config = format!(
            "domainlist local_domains =\n\
             begin acl\nacl_rcpt:\n  accept\n\
             begin routers\n{}\n\
             begin transports\n{}{mx}\n\
             begin retry\n* * F,1h,1h\n\
             begin authenticators\n{login}\n",
            recipe.block("exim router"),
            recipe.block("exim transport"),
        );
        Self::start(Root::new(wanted.place, "exim", wanted.name), wanted.name, &config)
    }

    pub fn receiving(wanted: &Receiving<'_>) -> Self {
        let root = Root::new(wanted.place, "exim", wanted.name);
        root.write_for("etc/exim4/server.crt", "Debian-exim", fs::read(&wanted.certificates.certificate).unwrap());
        root.write_for("etc/exim4/server.key", "Debian-exim", fs::read(&wanted.certificates.key).unwrap());
        let config = format!(
            "domainlist local_domains = to.example : from.example\n\
             tls_advertise_hosts = *\n\
             tls_certificate = /etc/exim4/server.crt\n\
             tls_privatekey = /etc/exim4/server.key\n\
             auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}\n\
             message_size_limit = 10M\n\
             begin acl\nacl_rcpt:\n\
             \x20 defer local_parts = later\n\
             \x20       condition = ${{if exists{{/etc/exim4/now}}{{no}}{{yes}}}}\n\
             \x20 accept domains = +local_domains\n\
             \x20        verify = recipient\n\
             \x20 accept authenticated = *\n\
             \x20 deny message = relay not permitted\n\
             begin routers\nusers:\n\
             \x20 driver = accept\n\
             \x20 check_local_user\n\
             \x20 transport = mailbox\n\
             begin transports\nmailbox:\n\
             \x20 driver = appendfile\n\
             \x20 directory = /home/$local_part_data/Maildir\n\
             \x20 maildir_format\n\
             \x20 delivery_date_add\n\
             \x20 envelope_to_add\n\
             \x20 return_path_add\n\
             begin authenticators\nplain:\n\
             \x20 driver = plaintext\n  public_name = PLAIN\n  server_prompts = :\n\
             \x20 server_condition = ${{if and{{{{eq{{$auth2}}{{{USER}}}}}{{eq{{$auth3}}{{{PASSWORD}}}}}}}}}\n  server_set_id = $auth2\n\
             login:\n\
             \x20 driver = plaintext\n  public_name = LOGIN\n  server_prompts = Username:: : Password::\n\
             \x20 server_condition = ${{if and{{{{eq{{$auth1}}{{{USER}}}}}{{eq{{$auth2}}{{{PASSWORD}}}}}}}}}\n  server_set_id = $auth1\n\
             cram:\n\
             \x20 driver = cram_md5\n  public_name = CRAM-MD5\n\
             \x20 server_secret = ${{if eq{{$auth1}}{{{USER}}}{{{PASSWORD}}}fail}}\n  server_set_id = $auth1\n",
        );
        Self::start(root, wanted.name, &config)
    }

    fn start(root: Root, name: &str, config: &str) -> Self {
        for dir in ["var/spool/exim4", "var/log/exim4", "run/exim4"] {
            root.dir_for(dir, "Debian-exim", 0o750);
        }
        root.write("etc/exim4/exim4.conf", format!("primary_hostname = {name}.example\n{OFFERS}{config}"));
        root.write("etc/aliases", "");
        let (process, address) = on_a_port(&root.log, |port| {
            root.start("/usr/sbin/exim4", &["-bdf", "-oX", &format!("127.0.0.1.{port}"), "-oP", "/run/exim4/pid"])
        });
        Self { _process: process, root, address }
    }
}

impl Server for Exim {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn log(&self) -> &Output {
        &self.root.log
    }

    fn log_text(&self) -> String {
        fs::read_to_string(self.root.path("var/log/exim4/mainlog")).unwrap()
    }

    fn mail_files(&self, user: &str) -> Vec<(PathBuf, Vec<u8>)> {
        mail_below(&self.root, &format!("home/{user}/Maildir"))
    }

    fn relent(&self) {
        self.root.write("etc/exim4/now", "");
    }

    fn flush(&self) {
        self.root.done("/usr/sbin/exim4", &["-qff"]);
    }
}
