//! Logins: passwords that somebody guesses, an account that fails or is locked, ways that are not taken, passwords in clear.

use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::report::Situation;
use crate::scene::{Scene, Wanted};
use crate::smart_host::{Says, SmartHost};
use crate::support::certificates;
use crate::support::client::Client;
use crate::support::postfix::Postfix;
use crate::support::process::run;
use crate::support::relayscope::Relayscope;
use crate::traffic::Traffic;

const KIND: &str = "logins";
const NEEDS: &[&str] = &["postfix", "root", "saslpasswd2"];

pub const SITUATIONS: &[Situation] = &[
    Situation { cause: KIND, name: "a client tries one user after another", needs: NEEDS, play: guessing },
    Situation { cause: KIND, name: "one account's password is refused, others get in", needs: NEEDS, play: account },
    Situation { cause: KIND, name: "the server's users are gone, nobody gets in", needs: NEEDS, play: everybody },
    Situation { cause: KIND, name: "the proxy's own account is locked", needs: &[], play: locked },
    Situation { cause: KIND, name: "the smart host takes tokens only, the proxy has a password", needs: &[], play: way },
    Situation { cause: KIND, name: "a password goes to the smart host in clear", needs: &[], play: clear },
];

/// Logs in with PLAIN, and leaves.
fn log_in(relayscope: &Relayscope, user: &str, password: &str, code: u16) {
    let mut client = Client::ready(relayscope.address());
    let secret = STANDARD.encode(format!("\0{user}@submission.example\0{password}"));
    client.command(&format!("AUTH PLAIN {secret}"), code);
    client.quit();
}

/// Logins are the clients' own business, at a Postfix that knows two users.
fn submission(scene: &Scene) -> (Postfix, Relayscope) {
    let certificates = certificates::make(&scene.place, "tls", &["127.0.0.1"]);
    let postfix = Postfix::submission(&scene.place, &certificates, &[("ann", "right"), ("ben", "right")]);
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n\
         [[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\ntls = \"required\"\nca_file = \"{}\"\n[anomaly.dns]\nenabled = false\n",
        postfix.address,
        certificates.authority.display()
    );
    let relayscope = Relayscope::configured(&scene.place, &config);
    (postfix, relayscope)
}

fn guessing(scene: &mut Scene) {
    let (_postfix, relayscope) = submission(scene);
    scene.trouble();
    // As many as are needed: a sixth might come after the incident is opened, or before.
    for user in ["admin", "info", "test", "office", "scan"] {
        log_in(&relayscope, user, "123456", 535);
    }
    let words = ["127.0.0.1", "5 user names"];
    scene.named(&Wanted { anomaly: "auth_guessing", cause: "auth_failed", act: "local_admin", words: &words, also: &[] });
}

fn account(scene: &mut Scene) {
    let (_postfix, relayscope) = submission(scene);
    for _ in 0..3 {
        log_in(&relayscope, "ann", "right", 235);
        log_in(&relayscope, "ben", "right", 235);
    }
    scene.trouble();
    for _ in 0..4 {
        log_in(&relayscope, "ben", "changed", 535);
        log_in(&relayscope, "ann", "right", 235);
    }
    let words = ["ben@submission.example"];
    scene.named(&Wanted { anomaly: "auth_account_fails", cause: "auth_failed", act: "local_admin", words: &words, also: &[] });
}

fn everybody(scene: &mut Scene) {
    let (_postfix, relayscope) = submission(scene);
    for _ in 0..3 {
        log_in(&relayscope, "ann", "right", 235);
        log_in(&relayscope, "ben", "right", 235);
    }
    let users = scene.place.path("submission/conf/sasl/users.db");
    std::fs::rename(&users, users.with_extension("gone")).unwrap();
    scene.trouble();
    for _ in 0..4 {
        log_in(&relayscope, "ann", "right", 535);
        log_in(&relayscope, "ben", "right", 535);
    }
    let words = ["Every login at upstream main fails", "2 accounts refused within 10 min", "user directory or login service"];
    scene.named(&Wanted { anomaly: "auth_all_fail", cause: "auth_failed", act: "smart_host", words: &words, also: &[] });
}

/// The proxy logs in itself, in clear: the scripted smart host has no TLS.
fn own(scene: &mut Scene, offers: &str, says: &str, wanted: &Wanted<'_>) {
    let host = SmartHost::start(Says { auth: Some((offers.to_owned(), says.to_owned())), ..Says::default() });
    let file = scene.place.file("password", "secret");
    run(Command::new("chmod").arg("600").arg(&file));
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n\
         [[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\ntls = \"off\"\nallow_plaintext_auth = true\n\
         [upstream.auth]\nuser = \"relay@from.example\"\npassword_file = \"{}\"\n[anomaly.dns]\nenabled = false\n",
        host.address,
        file.display()
    );
    let relayscope = Relayscope::configured(&scene.place, &config);
    scene.trouble();
    let traffic = Traffic::start(relayscope.address(), &["bob@to.example"], 1, Duration::from_secs(1));
    scene.named(wanted);
    drop(traffic);
}

fn locked(scene: &mut Scene) {
    let words = ["locked"];
    let also = &["auth_in_clear"];
    let wanted = Wanted { anomaly: "account_locked", cause: "account_locked", act: "local_admin", words: &words, also };
    own(scene, "PLAIN LOGIN", "535 5.7.8 Your account is temporarily locked. Contact support to unlock it", &wanted);
}

fn way(scene: &mut Scene) {
    let words = ["no way to log in that both have"];
    let wanted =
        Wanted { anomaly: "auth_mechanism_refused", cause: "auth_mechanism_unsupported", act: "local_admin", words: &words, also: &[] };
    own(scene, "XOAUTH2 OAUTHBEARER", "235 2.7.0 ok", &wanted);
}

fn clear(scene: &mut Scene) {
    let words = ["main"];
    let wanted = Wanted { anomaly: "auth_in_clear", cause: "", act: "local_admin", words: &words, also: &[] };
    own(scene, "PLAIN LOGIN", "235 2.7.0 ok", &wanted);
}
