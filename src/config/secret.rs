//! Reads a secret from its file or environment variable. No error here repeats what could be the secret itself.

use std::fs;
use std::io;
use std::path::Path;

use crate::relay::options::Secret;

/// A password is short; an access token can take some KiB.
const LONGEST: u64 = 65_536;

/// The only line of a file that not everybody can read: its group may, as in root:relayscope 0640. `Err` completes `password_file …`.
pub(super) fn from_file(path: &Path) -> Result<Secret<String>, String> {
    let shown = shown(path);
    let metadata = fs::metadata(path).map_err(|error| unreadable(&shown, &error))?;
    if !metadata.is_file() {
        return Err(format!("{shown} is not a file"));
    }
    if metadata.len() > LONGEST {
        return Err(format!("{shown} is longer than {LONGEST} octets: write the password alone into it"));
    }
    refuse_open(path, &shown, &metadata)?;
    let text = fs::read_to_string(path).map_err(|error| unreadable(&shown, &error))?;
    only_line(&text).map_err(|why| format!("{shown} {why}"))
}

/// The value of an environment variable. `Err` completes `password_env …`.
pub(super) fn from_environment(name: &str) -> Result<Secret<String>, String> {
    let usual = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !name.chars().all(usual) || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("is not the name of an environment variable: the password itself doesn't belong in this file".to_owned());
    }
    let value = std::env::var(name)
        .map_err(|_| "names an environment variable that is not set (systemd: `EnvironmentFile=`), or is not UTF-8".to_owned())?;
    only_line(&value).map_err(|why| format!("names an environment variable that {why}"))
}

/// A path without a slash may be a password in the wrong place.
fn shown(path: &Path) -> String {
    if path.components().count() > 1 { path.display().to_string() } else { "the file it names".to_owned() }
}

fn only_line(text: &str) -> Result<Secret<String>, String> {
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line {
        "" => Err("is empty".to_owned()),
        line if line.contains(['\n', '\r', '\0']) => Err("has more than one line: write the password alone into it".to_owned()),
        line => Ok(Secret::new(line.to_owned())),
    }
}

fn unreadable(shown: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("{shown} does not exist"),
        io::ErrorKind::PermissionDenied => format!("{shown} is not readable by this user: run `chown` on it for the service's user"),
        io::ErrorKind::InvalidData => format!("{shown} is not UTF-8 text"),
        _ => format!("{shown} cannot be read: {error}"),
    }
}

#[cfg(unix)]
fn refuse_open(path: &Path, shown: &str, metadata: &fs::Metadata) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    // systemd hands credentials over in a directory of the service's own; the mode of the files shows an ACL's mask.
    let handed_over = std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|dir| !dir.is_empty() && path.starts_with(dir));
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o007 == 0 || handed_over {
        return Ok(());
    }
    Err(format!(
        "{shown} is open to every user (mode {mode:04o}): run `chmod 640` on it (its group being the service's), and change the secret if they are not \
         trusted"
    ))
}

#[cfg(not(unix))]
fn refuse_open(_: &Path, _: &str, _: &fs::Metadata) -> Result<(), String> {
    Ok(())
}
