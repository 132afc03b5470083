//! Receivers that read and throw away: TCP, TLS, HTTP, gRPC, Kafka; and some that are stuck.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use relayscope::net::tls::ServerTls;
use tokio::io::AsyncReadExt;

/// Path of a receiver of OTLP.
pub const OTLP: &str = "/otlp";

pub struct Receivers {
    pub tcp: u16,
    pub tls: u16,
    pub http: u16,
    pub grpc: u16,
    pub kafka: u16,
    /// Answers what a client asks before it sends records, and never a record.
    pub mute_kafka: u16,
    /// Never reads.
    pub deaf: u16,
    /// The TLS receiver's own, to be trusted.
    pub certificate: PathBuf,
}

fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Serves each connection on a thread of its own.
fn serve(each: impl Fn(TcpStream) + Clone + Send + 'static) -> u16 {
    let (listener, port) = listen();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let each = each.clone();
            std::thread::spawn(move || each(stream));
        }
    });
    port
}

impl Receivers {
    pub fn start(dir: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let made = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let (certificate, key_file) = (dir.join("receiver.pem"), dir.join("receiver.key"));
        std::fs::write(&certificate, made.pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        std::fs::set_permissions(&key_file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let tls = Arc::new(ServerTls::from_files(&certificate, &key_file).unwrap());
        let kept = std::sync::Mutex::new(Vec::new());
        let kept = Arc::new(kept);
        Self {
            tcp: serve(|mut stream| drop(std::io::copy(&mut stream, &mut std::io::sink()))),
            tls: serve(move |stream| read_tls(&tls, stream)),
            http: serve(answer),
            grpc: serve(super::collector::serve),
            kafka: serve(|stream| super::broker::serve(stream, true)),
            mute_kafka: serve(|stream| super::broker::serve(stream, false)),
            deaf: serve(move |stream| kept.lock().unwrap().push(stream)),
            certificate,
        }
    }
}

fn read_tls(tls: &ServerTls, stream: TcpStream) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        stream.set_nonblocking(true).unwrap();
        let Ok((mut stream, _)) = tls.accept(tokio::net::TcpStream::from_std(stream).unwrap()).await else { return };
        let mut octets = vec![0; 64 << 10];
        while stream.read(&mut octets).await.is_ok_and(|read| read > 0) {}
    });
}

/// Answers each post as if everything in it had been taken.
fn answer(mut stream: TcpStream) {
    use std::io::Write;
    let (mut buffer, mut chunk) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let head = loop {
            if let Some(at) = buffer.windows(4).position(|it| it == b"\r\n\r\n") {
                break at + 4;
            }
            match stream.read(&mut chunk) {
                Ok(read) if read > 0 => buffer.extend_from_slice(&chunk[..read]),
                _ => return,
            }
        };
        let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
        let length: usize = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok()).unwrap_or(0);
        let mut left = length.saturating_sub(buffer.len() - head);
        buffer.clear();
        while left > 0 {
            match stream.read(&mut chunk) {
                Ok(read) if read > 0 => left = left.saturating_sub(read),
                _ => return,
            }
        }
        // Of OTLP, a message without fields is no octets.
        let body = if text.starts_with(&format!("post {OTLP}")) { "" } else { r#"{"errors":false}"# };
        // In one segment: pieces would wait for acknowledgements.
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
