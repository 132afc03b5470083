//! Every mail server of the field with Relayscope behind it, and in front of it: what works, as a table.
//!
//! The servers conflict with each other as packages; `tests/servers/unpack` gives each a root of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that can't go on should stop where it is

#[allow(dead_code, reason = "it serves all end-to-end tests")]
#[path = "../support/e2e/mod.rs"]
mod support;

mod courier;
mod exim;
mod internet;
mod logs;
mod mail;
mod names;
mod opensmtpd;
mod page;
mod postfix;
mod receiving;
mod recipe;
mod root;
mod sending;
mod sendmail;
mod server;
mod table;

use server::Server;
use support::programs::need;

/// A server on the client side.
macro_rules! sends {
    ($test:ident, $server:literal, $kind:path) => {
        #[test]
        fn $test() {
            need!("postfix", "root", "saslpasswd2");
            if root::have(stringify!($test), $server) {
                let findings = sending::found(&|wanted| Box::new(<$kind>::sending(wanted)) as Box<dyn Server>);
                table::report("sends", $server, &root::version($server), &findings);
            }
        }
    };
}

sends!(courier_sends, "courier", courier::Courier);
sends!(exim_sends, "exim", exim::Exim);
sends!(opensmtpd_sends, "opensmtpd", opensmtpd::OpenSmtpd);
sends!(postfix_sends, "postfix", postfix::Postfixed);
sends!(sendmail_sends, "sendmail", sendmail::Sendmail);

/// A server that sends to the internet: with its recipe's setting no recipient is put off, and always each gets it once.
macro_rules! to_three_domains {
    ($test:ident, $server:literal, $kind:path) => {
        #[test]
        fn $test() {
            need!("postfix", "root", "knotd", "keymgr", "unbound", "unbound-control");
            if root::have(stringify!($test), $server) {
                let start = |wanted: &server::Sending<'_>| Box::new(<$kind>::sending(wanted)) as Box<dyn Server>;
                let as_it_comes = internet::three_domains(&start, false);
                let with_setting = internet::three_domains(&start, true);
                eprintln!("{}: {} recipients put off as it comes, {} with the setting", $server, as_it_comes.split, with_setting.split);
                assert_eq!(with_setting.split, 0, "the recipe's setting avoids the delay");
            }
        }
    };
}

to_three_domains!(exim_to_three_domains, "exim", exim::Exim);
to_three_domains!(postfix_to_three_domains, "postfix", postfix::Postfixed);
to_three_domains!(sendmail_to_three_domains, "sendmail", sendmail::Sendmail);

/// A server on the server side.
macro_rules! receives {
    ($test:ident, $server:literal, $kind:path) => {
        #[test]
        fn $test() {
            need!("postfix", "root", "saslpasswd2", "swaks", "openssl");
            if root::have(stringify!($test), $server) {
                let findings = receiving::found(|wanted| Box::new(<$kind>::receiving(wanted)) as Box<dyn Server>);
                table::report("receives", $server, &root::version($server), &findings);
            }
        }
    };
}

receives!(courier_receives, "courier", courier::Courier);
receives!(exim_receives, "exim", exim::Exim);
receives!(opensmtpd_receives, "opensmtpd", opensmtpd::OpenSmtpd);
receives!(postfix_receives, "postfix", postfix::Postfixed);
receives!(sendmail_receives, "sendmail", sendmail::Sendmail);

/// What a server's own log tells, imported: of messages that it sends on, and of those that it keeps or refuses.
macro_rules! is_imported {
    ($test:ident, $server:literal, $kind:path) => {
        #[test]
        fn $test() {
            need!("postfix", "root", "saslpasswd2", "openssl");
            if root::have(stringify!($test), $server) {
                logs::of_sending($server, &|wanted| Box::new(<$kind>::sending(wanted)) as Box<dyn Server>);
                logs::of_receiving($server, &|wanted| Box::new(<$kind>::receiving(wanted)) as Box<dyn Server>);
            }
        }
    };
}

is_imported!(courier_is_imported, "courier", courier::Courier);
is_imported!(exim_is_imported, "exim", exim::Exim);
is_imported!(postfix_is_imported, "postfix", postfix::Postfixed);
is_imported!(sendmail_is_imported, "sendmail", sendmail::Sendmail);

/// Makes deploy/compatibility.md of what the other tests found before: `cargo test --test servers -- --ignored page`.
#[test]
#[ignore = "writes a page of the project"]
fn page() {
    page::write();
}
