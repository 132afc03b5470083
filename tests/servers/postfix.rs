//! Postfix as it is installed, with the recipe's settings.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::support::place::files_under;
use crate::support::postfix::{Postfix, sasl_users};
use crate::support::process::Output;

use super::recipe::Recipe;
use super::server::{PASSWORD, Receiving, Sending, Server, USER};

pub struct Postfixed {
    postfix: Postfix,
    dir: PathBuf,
}

impl Postfixed {
    pub fn sending(wanted: &Sending<'_>) -> Self {
        let recipe = Recipe::wanted("postfix", wanted);
        let mx = if wanted.one_domain { recipe.postconf("postfix mx") } else { String::new() };
        let login = recipe.block("postfix sasl_passwd").replace("USER", wanted.user).replace("PASSWORD", PASSWORD);
        let file = wanted.place.file(&format!("{}/sasl_passwd", wanted.name), login);
        let login = recipe.postconf("postfix login").replace("hash:/etc/postfix/sasl_passwd", &format!("texthash:{}", file.display()));
        let extra = format!("{}{login}{mx}smtp_address_preference = ipv4\n", recipe.postconf("postfix"));
        Self { postfix: Postfix::named(wanted.place, wanted.name, &extra), dir: wanted.place.path(wanted.name) }
    }

    pub fn receiving(wanted: &Receiving<'_>) -> Self {
        let dir = wanted.place.dir(wanted.name);
        let sasl = sasl_users(wanted.place, wanted.name, &[(USER, PASSWORD)]);
        fs::write(dir.join("access"), "later@to.example 450 4.2.0 come back later\n").unwrap();
        let extra = format!(
            "mynetworks = [::1]/128\n\
             smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination\n\
             virtual_mailbox_domains = to.example, from.example\n\
             virtual_mailbox_base = {dir}/mail\n\
             virtual_mailbox_maps = inline:{{{{bob@to.example=bob/}}, {{carol@to.example=carol/}}, {{later@to.example=later/}}, \
             {{ann@from.example=ann/}}}}\n\
             virtual_uid_maps = static:65534\n\
             virtual_gid_maps = static:65534\n\
             smtpd_recipient_restrictions = check_recipient_access texthash:{dir}/access, permit\n\
             smtpd_tls_security_level = may\n\
             smtpd_tls_cert_file = {certificate}\n\
             smtpd_tls_key_file = {key}\n\
             smtpd_tls_auth_only = yes\n\
             smtpd_sasl_auth_enable = yes\n\
             smtpd_sasl_path = smtpd\n\
             cyrus_sasl_config_path = {sasl}\n\
             smtpd_sasl_local_domain = submission.example\n\
             message_size_limit = 10000000\n\
             max_use = 1\n",
            dir = dir.display(),
            certificate = wanted.certificates.certificate.display(),
            key = wanted.certificates.key.display(),
            sasl = sasl.display(),
        );
        Self { postfix: Postfix::named(wanted.place, wanted.name, &extra), dir }
    }
}

impl Server for Postfixed {
    fn address(&self) -> SocketAddr {
        self.postfix.address
    }

    fn log(&self) -> &Output {
        self.postfix.log()
    }

    fn log_text(&self) -> String {
        // It is postlogd that writes it.
        self.postfix.log().text() + "\n"
    }

    fn mail_files(&self, user: &str) -> Vec<(PathBuf, Vec<u8>)> {
        files_under(&self.dir.join("mail").join(user).join("new"))
    }

    fn relent(&self) {
        fs::write(self.dir.join("access"), "").unwrap();
    }

    fn login(&self) -> String {
        format!("{USER}@submission.example")
    }

    fn flush(&self) {
        self.postfix.flush();
    }
}
