//! Reads certificates and keys from PEM files, with errors that name the file and the repair.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why a PEM file is of no use.
#[derive(Debug, Error)]
pub enum PemError {
    #[error("{}: no such file", .path.display())]
    Missing { path: PathBuf },
    #[error("{path}: not readable by this process: run `chgrp` and `chmod g+r` on it so that the service's group may read it", path = .path.display())]
    Denied { path: PathBuf },
    #[error("{}: cannot be read: {source}", .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}: no certificate in it (expected PEM, \"-----BEGIN CERTIFICATE-----\")", .path.display())]
    NoCertificate { path: PathBuf },
    #[error("{}: no private key in it (expected PEM, \"-----BEGIN PRIVATE KEY-----\"; encrypted keys are not supported)", .path.display())]
    NoKey { path: PathBuf },
    #[error("{path}: the private key is open to every user of this machine (mode {mode:04o}): run `chmod 640 {path}`", path = .path.display())]
    KeyOpen { path: PathBuf, mode: u32 },
}

impl PemError {
    fn from_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            io::ErrorKind::PermissionDenied => Self::Denied { path },
            _ => Self::Unreadable { path, source },
        }
    }
}

/// All certificates of a file, in order. Never empty.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let mut reader = BufReader::new(File::open(path).map_err(|source| PemError::from_io(path, source))?);
    let found: Vec<_> = rustls_pemfile::certs(&mut reader).collect::<Result<_, _>>().map_err(|source| PemError::from_io(path, source))?;
    if found.is_empty() { Err(PemError::NoCertificate { path: path.to_owned() }) } else { Ok(found) }
}

/// The first private key of a file that other users can't read.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    refuse_open(path)?;
    let mut reader = BufReader::new(File::open(path).map_err(|source| PemError::from_io(path, source))?);
    rustls_pemfile::private_key(&mut reader)
        .map_err(|source| PemError::from_io(path, source))?
        .ok_or_else(|| PemError::NoKey { path: path.to_owned() })
}

#[cfg(unix)]
fn refuse_open(path: &Path) -> Result<(), PemError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).map_err(|source| PemError::from_io(path, source))?.permissions().mode() & 0o7777;
    if mode & 0o007 == 0 { Ok(()) } else { Err(PemError::KeyOpen { path: path.to_owned(), mode }) }
}

#[cfg(not(unix))]
fn refuse_open(_: &Path) -> Result<(), PemError> {
    Ok(())
}
