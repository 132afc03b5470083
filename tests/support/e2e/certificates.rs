//! A certificate authority of the test's own, and a server certificate by it.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

use super::place::Place;
use super::process::run;

pub struct Certificates {
    pub authority: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// For `names` (host names and IP addresses), in the directory `dir` of the place.
pub fn make(place: &Place, dir: &str, names: &[&str]) -> Certificates {
    make_for(place, dir, names, &KeyPair::generate().unwrap())
}

/// As [`make`], expired on the first day of 2021.
pub fn expired(place: &Place, dir: &str, names: &[&str]) -> Certificates {
    made(place, dir, names, &KeyPair::generate().unwrap(), |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    })
}

/// As [`make`], valid for so many days from now on.
pub fn ending_in(place: &Place, dir: &str, names: &[&str], days: u64) -> Certificates {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    made(place, dir, names, &KeyPair::generate().unwrap(), |params| {
        params.not_after = date_time_ymd(1970, 1, 1) + now + Duration::from_secs(days * 86_400);
    })
}

/// As [`make`], by an authority of another name.
pub fn by_another(place: &Place, dir: &str, names: &[&str]) -> Certificates {
    signed(place, dir, names, &KeyPair::generate().unwrap(), "another test authority", |_| {})
}

/// As [`make`], for a key of the test's own.
pub fn make_for(place: &Place, dir: &str, names: &[&str], key: &KeyPair) -> Certificates {
    made(place, dir, names, key, |_| {})
}

fn made(place: &Place, dir: &str, names: &[&str], key: &KeyPair, change: impl Fn(&mut CertificateParams)) -> Certificates {
    signed(place, dir, names, key, "relayscope test authority", change)
}

fn signed(place: &Place, dir: &str, names: &[&str], key: &KeyPair, by: &str, change: impl Fn(&mut CertificateParams)) -> Certificates {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, by);
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let mut params = CertificateParams::new(names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()).unwrap();
    change(&mut params);
    let certificate = params.signed_by(key, &issuer).unwrap().pem();
    Certificates {
        authority: place.file(&format!("{dir}/authority.pem"), authority_pem),
        certificate: place.file(&format!("{dir}/server.crt"), certificate),
        key: place.file(&format!("{dir}/server.key"), key.serialize_pem()),
    }
}

/// SHA-256 of the certificate's public key, in hexadecimal: what a TLSA record 3 1 1 has (RFC 6698 2.1).
pub fn key_digest(certificates: &Certificates) -> String {
    let certificate = certificates.certificate.display();
    let pipe = format!(
        "openssl x509 -in {certificate} -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -r | cut -d' ' -f1"
    );
    let (code, digest) = run(Command::new("sh").args(["-c", &pipe]));
    assert_eq!(code, 0, "{digest}");
    digest.trim().to_owned()
}
