//! Makes a self-signed certificate at first start, where the administrator has given none.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use thiserror::Error;

use super::certificate::Particulars;
use super::{pem, server::ServerTls};
use crate::replace::{OWNER, Outlives, replace};

const CERTIFICATE: &str = "self-signed.crt";
const KEY: &str = "self-signed.key";
const DAY: Duration = Duration::from_secs(86_400);
const VALID_DAYS: u32 = 3_650;
/// A certificate that would run out before the next restart, perhaps, is replaced ahead of time.
const RENEW_SECONDS: i64 = 30 * 86_400;

/// A certificate of our own making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfSigned {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Whether it was made just now.
    pub made: bool,
}

/// Why none could be made.
#[derive(Debug, Error)]
pub enum SelfSignedError {
    #[error("no self-signed certificate can be written to {}: {source}; set `certificate` and `key` on the listener, or `tls = \"off\"`", .path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("no directory to write a self-signed certificate to: set `certificate` and `key` on the listener, or `tls = \"off\"`")]
    Nowhere,
    #[error("no self-signed certificate can be made for {host_name:?}: {source}")]
    Unmakeable { host_name: String, source: rcgen::Error },
}

/// The self-signed certificate in the first of `dirs` that has a usable one; otherwise a new one in the first that can be
/// written to (with its key, mode 0600). An expired one is replaced.
pub fn self_signed(dirs: &[PathBuf], host_name: &str) -> Result<SelfSigned, SelfSignedError> {
    if let Some(kept) = dirs.iter().map(|dir| files(dir, false)).find(is_usable) {
        return Ok(kept);
    }
    let mut failure = SelfSignedError::Nowhere;
    for dir in dirs {
        match make(dir, host_name) {
            Ok(made) => return Ok(made),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn files(dir: &Path, made: bool) -> SelfSigned {
    SelfSigned { certificate: dir.join(CERTIFICATE), key: dir.join(KEY), made }
}

fn is_usable(found: &SelfSigned) -> bool {
    let renew_at = jiff::Timestamp::now().as_second() + RENEW_SECONDS;
    let current = pem::certificates(&found.certificate)
        .is_ok_and(|chain| chain.first().is_some_and(|certificate| Particulars::read(certificate).expires_at > renew_at));
    current && ServerTls::from_files(&found.certificate, &found.key).is_ok()
}

fn make(dir: &Path, host_name: &str) -> Result<SelfSigned, SelfSignedError> {
    let unmakeable = |source| SelfSignedError::Unmakeable { host_name: host_name.to_owned(), source };
    let pair = KeyPair::generate().map_err(unmakeable)?;
    let certificate = parameters(host_name).map_err(unmakeable)?.self_signed(&pair).map_err(unmakeable)?;
    let made = files(dir, true);
    fs::create_dir_all(dir).map_err(|source| SelfSignedError::Unwritable { path: dir.to_owned(), source })?;
    // Two processes that start at once don't mix their pairs: the second one takes what the first has made.
    let unwritable = |source| SelfSignedError::Unwritable { path: dir.to_owned(), source };
    let place = fs::File::open(dir).map_err(unwritable)?;
    place.lock().map_err(unwritable)?;
    let there = files(dir, false);
    if is_usable(&there) {
        return Ok(there);
    }
    // A crash between the two leaves a pair that doesn't match: it is replaced at the next start.
    let put = |path: &Path, pem: String, mode| {
        replace(path, pem.as_bytes(), mode, Outlives::Half).map_err(|source| SelfSignedError::Unwritable { path: path.to_owned(), source })
    };
    put(&made.key, pair.serialize_pem(), OWNER)?;
    put(&made.certificate, certificate.pem(), 0o644)?;
    Ok(made)
}

fn parameters(host_name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut names = vec![host_name.to_owned()];
    if host_name != "localhost" {
        names.push("localhost".to_owned());
    }
    let mut parameters = CertificateParams::new(names)?;
    parameters.distinguished_name.push(DnType::CommonName, host_name);
    parameters.distinguished_name.push(DnType::OrganizationName, "Relayscope, self-signed");
    let today = jiff::Timestamp::now().to_zoned_datetime(jiff::tz::TimeZone::UTC).date();
    let day = date_time_ymd(i32::from(today.year()), today.month().unsigned_abs(), today.day().unsigned_abs());
    parameters.not_before = day - DAY; // for clients whose clock is behind
    parameters.not_after = day + DAY * VALID_DAYS;
    Ok(parameters)
}
