//! A receiver of exports over TLS that reads and throws away, at the lowest priority: in the field it is another machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use rcgen::{CertificateParams, KeyPair};
use relayscope::net::tls::ServerTls;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

/// Writes its certificate, prints its port, and ends with its standard input.
pub fn run(certificate: &Path) -> Result<()> {
    rustix::process::nice(19)?;
    let key = KeyPair::generate()?;
    let made = CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key)?;
    let key_file = certificate.with_extension("key");
    fs::write(certificate, made.pem())?;
    fs::write(&key_file, key.serialize_pem())?;
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600))?;
    let tls = Arc::new(ServerTls::from_files(certificate, &key_file)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        std::thread::spawn(|| {
            for _ in std::io::stdin().lines() {}
            std::process::exit(0);
        });
        loop {
            let (stream, _) = listener.accept().await?;
            let tls = tls.clone();
            tokio::spawn(async move {
                let Ok((mut stream, _)) = tls.accept(stream).await else { return };
                let mut octets = vec![0; 64 << 10];
                while stream.read(&mut octets).await.is_ok_and(|read| read > 0) {}
            });
        }
    })
}
