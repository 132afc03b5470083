//! The certificates that our own listeners show to clients.

use std::path::PathBuf;

use super::super::Check;
use super::super::options::Options;
use super::super::upstream::certificate::{SOON, left, now_seconds};
use crate::net::tls::certificate_of_file;
use crate::relay::options::{ClientTls, ListenerOptions};

const WHY: &str = "from its last day on, clients that verify send no mail through this proxy";

pub(super) fn checks(options: &Options) -> Vec<Check> {
    if options.sessions.is_empty() {
        let check = Check::asking("own.certificate", "certificates of the listeners", WHY);
        return vec![
            check.skipped("no configuration file that can be used names them: of one that is there, `relayscope config check` says why"),
        ];
    }
    let mut seen: Vec<PathBuf> = Vec::new();
    let mut checks = Vec::new();
    for session in &options.sessions {
        let listener = &session.listener;
        if matches!(listener.tls, ClientTls::Off | ClientTls::Passthrough) {
            continue;
        }
        let Some((path, own)) = file(options, listener) else { continue };
        if !seen.contains(&path) {
            checks.push(check(listener, &path, own));
            seen.push(path);
        }
    }
    checks
}

/// The listener's own, or the self-signed one that was made for it.
fn file(options: &Options, listener: &ListenerOptions) -> Option<(PathBuf, bool)> {
    if let Some(files) = &listener.certificate {
        return Some((files.certificate.clone(), true));
    }
    let made = options.certificate_dirs.iter().map(|dir| dir.join("self-signed.crt")).find(|path| path.is_file());
    made.map(|path| (path, false))
}

fn check(listener: &ListenerOptions, path: &std::path::Path, own: bool) -> Check {
    let check = Check::asking("own.certificate", format!("certificate of listener {} ({})", listener.name, path.display()), WHY);
    let (subject, expires_at) = match certificate_of_file(path) {
        Ok(found) => found,
        Err(error) => return check.fail(error.to_string(), "Put a certificate there (PEM, the server's own first), and reload."),
    };
    let Some(expires_at) = expires_at else {
        return check.fail("it can't be read as a certificate", "Put one there (PEM, the server's own first), and reload.");
    };
    let (days, left) = left(expires_at, now_seconds());
    let answer = format!("{}, {left}{}", subject.unwrap_or_default(), if own { "" } else { "; self-signed" });
    let fix = if own {
        "Renew it (`certbot renew`, or whatever made it), and `systemctl reload relayscope`."
    } else {
        "A new one is made at the next start."
    };
    match days {
        ..0 => check.fail(answer, fix),
        0..SOON => check.warn(answer, fix),
        _ => check.ok(answer),
    }
}
