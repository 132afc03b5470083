//! A door before the broker: TLS, SASL and troubles that the broker has none of. What passes is the broker's own, octet for octet, but for
//! the port that its metadata names: the door's.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const PRODUCE: i16 = 0;
const METADATA: i16 = 3;
const HANDSHAKE: i16 = 17;
const AUTHENTICATE: i16 = 36;
const USER: &str = "relayscope";
const PASSWORD: &str = "the password";

/// What it does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    Pass,
    /// Nobody gets in, and who is in is out, in the midst of it.
    Cut,
    /// Records are never answered.
    Silence,
    /// Records are refused with this number.
    Refuse(i16),
    /// Records are taken, and then a pause of so many ms is asked for.
    Pause(u32),
}

#[derive(Debug)]
pub struct State {
    always: Does,
    /// For records that come next.
    next: VecDeque<Does>,
    /// Requests with records that are longer are refused as too large.
    pub longest: usize,
    /// Requests with records that came.
    pub produced: usize,
    /// Requests that are with the broker.
    inside: usize,
    /// Records that the broker has taken.
    taken: usize,
}

pub struct Door {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// Ended with the door.
    _runtime: tokio::runtime::Runtime,
}

struct Lock {
    tls: Option<TlsAcceptor>,
    /// The mechanism that is offered.
    mechanism: Option<&'static str>,
    broker: u16,
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Door {
    pub fn open(broker: u16, tls: Option<TlsAcceptor>, mechanism: Option<&'static str>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let state = State { always: Does::Pass, next: VecDeque::new(), longest: usize::MAX, produced: 0, inside: 0, taken: 0 };
        let state = Arc::new(Mutex::new(state));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let lock = Arc::new(Lock { tls, mechanism, broker, port: address.port(), state: state.clone() });
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let lock = lock.clone();
                tokio::spawn(async move {
                    let _ = lock.let_in(stream).await;
                });
            }
        });
        Self { address, state, _runtime: runtime }
    }

    pub fn always(&self, does: Does) {
        self.state.lock().unwrap().always = does;
    }

    pub fn next(&self, does: impl IntoIterator<Item = Does>) {
        self.state.lock().unwrap().next.extend(does);
    }

    pub fn take_at_most(&self, octets: usize) {
        self.state.lock().unwrap().longest = octets;
    }

    /// Whether no request is with the broker.
    pub fn is_empty(&self) -> bool {
        self.state.lock().unwrap().inside == 0
    }

    pub fn taken(&self) -> usize {
        self.state.lock().unwrap().taken
    }

    pub fn produced(&self) -> usize {
        self.state.lock().unwrap().produced
    }
}

impl Lock {
    fn is_cut(&self) -> bool {
        self.state.lock().unwrap().always == Does::Cut
    }

    async fn let_in(&self, stream: TcpStream) -> io::Result<()> {
        if self.is_cut() {
            return Ok(());
        }
        match &self.tls {
            None => self.converse(stream).await,
            Some(acceptor) => self.converse(acceptor.accept(stream).await?).await,
        }
    }

    async fn converse(&self, mut client: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let mut broker = TcpStream::connect(("127.0.0.1", self.broker)).await?;
        let mut login = self.mechanism.map(Login::new);
        loop {
            let request = frame(&mut client).await?;
            let key = i16::from_be_bytes([request[0], request[1]]);
            let correlation = &request[4..8];
            if let Some(it) = login.as_mut().filter(|_| matches!(key, HANDSHAKE | AUTHENTICATE)) {
                let answer = if key == HANDSHAKE { it.handshake(body(&request)) } else { it.authenticate(body(&request)) };
                send(&mut client, &[correlation, &answer].concat()).await?;
                continue;
            }
            if matches!(key, PRODUCE | METADATA) && login.as_ref().is_some_and(|login| !login.is_done) {
                return Ok(()); // as Kafka does
            }
            let does = if key == PRODUCE { self.of_records(request.len()) } else { Does::Pass };
            match does {
                Does::Cut => return Ok(()),
                Does::Silence => continue,
                Does::Refuse(code) => {
                    send(&mut client, &[correlation, &refusal(body(&request), code)].concat()).await?;
                    continue;
                }
                Does::Pass | Does::Pause(_) => {}
            }
            if !self.begin() {
                return Ok(());
            }
            let answer = async {
                send(&mut broker, &request).await?;
                frame(&mut broker).await
            };
            let answer = answer.await;
            {
                let mut state = self.state.lock().unwrap();
                state.inside -= 1;
                state.taken += if key == PRODUCE && answer.is_ok() { records_in(body(&request)) } else { 0 };
            }
            let mut answer = answer?;
            if key == METADATA {
                self.name_itself(&mut answer);
            }
            if let Does::Pause(pause) = does {
                let end = answer.len() - 4;
                answer[end..].copy_from_slice(&pause.to_be_bytes());
            }
            if self.is_cut() {
                return Ok(()); // taken by the broker, and nobody knows
            }
            send(&mut client, &answer).await?;
        }
    }

    /// A request goes to the broker, unless all is cut.
    fn begin(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        let goes = state.always != Does::Cut;
        state.inside += usize::from(goes);
        goes
    }

    fn of_records(&self, octets: usize) -> Does {
        let mut state = self.state.lock().unwrap();
        state.produced += 1;
        if octets > state.longest {
            return Does::Refuse(10);
        }
        let always = state.always;
        state.next.pop_front().unwrap_or(always)
    }

    /// Metadata, version 4: correlation, pause, count; of the first broker its id, host and port.
    fn name_itself(&self, answer: &mut [u8]) {
        let host = usize::from(u16::from_be_bytes([answer[16], answer[17]]));
        let at = 18 + host;
        answer[at..at + 4].copy_from_slice(&i32::from(self.port).to_be_bytes());
    }
}

/// What follows the header of a request: api, version, correlation, client's name.
fn body(request: &[u8]) -> &[u8] {
    let name = usize::from(u16::from_be_bytes([request[8], request[9]]));
    &request[10 + name..]
}

/// The answer to records (version 7) that says no to each partition of its one topic. The request: no transaction, acks, time limit, topics.
fn refusal(request: &[u8], code: i16) -> Vec<u8> {
    assert_eq!(&request[..4], [0xff, 0xff, 0xff, 0xff], "no transaction, and all replicas in sync are to have it");
    let topics = &request[8..];
    let name = usize::from(u16::from_be_bytes([topics[4], topics[5]]));
    let mut answer = topics[..6 + name].to_vec();
    let mut partitions = &topics[6 + name..];
    answer.extend_from_slice(&partitions[..4]);
    let count = u32::from_be_bytes(partitions[..4].try_into().unwrap());
    partitions = &partitions[4..];
    for _ in 0..count {
        answer.extend_from_slice(&partitions[..4]);
        answer.extend(code.to_be_bytes());
        answer.extend([0xff; 24]);
        let records = u32::from_be_bytes(partitions[4..8].try_into().unwrap()) as usize;
        partitions = &partitions[8 + records..];
    }
    answer.extend([0; 4]);
    answer
}

/// How many records a request has for its first partition: the last one's number, and one (record batches of version 2).
fn records_in(request: &[u8]) -> usize {
    let name = usize::from(u16::from_be_bytes([request[12], request[13]]));
    let batch = &request[14 + name + 12..];
    u32::from_be_bytes(batch[23..27].try_into().unwrap()) as usize + 1
}

async fn frame(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = stream.read_u32().await?;
    if length > 1 << 24 {
        return Err(io::Error::other("no frame"));
    }
    let mut octets = vec![0; length as usize];
    stream.read_exact(&mut octets).await?;
    Ok(octets)
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), octets: &[u8]) -> io::Result<()> {
    stream.write_all(&[&u32::try_from(octets.len()).unwrap().to_be_bytes(), octets].concat()).await?;
    stream.flush().await
}

/// The server's side of PLAIN (RFC 4616) and SCRAM (RFC 5802, RFC 7677).
struct Login {
    mechanism: &'static str,
    is_done: bool,
    /// Of SCRAM: what was said so far without its end.
    said: Option<String>,
}

impl Login {
    fn new(mechanism: &'static str) -> Self {
        Self { mechanism, is_done: false, said: None }
    }

    /// Version 1: the mechanism that is wanted; a number, and those that there are.
    fn handshake(&self, body: &[u8]) -> Vec<u8> {
        let code: i16 = if &body[2..] == self.mechanism.as_bytes() { 0 } else { 33 };
        let length = u16::try_from(self.mechanism.len()).unwrap();
        [&code.to_be_bytes()[..], &[0, 0, 0, 1], &length.to_be_bytes(), self.mechanism.as_bytes()].concat()
    }

    /// Version 2: behind the header's tags octets with their length plus one as a varint, and tags; a number, no text, octets likewise, the
    /// session's life, tags.
    fn authenticate(&mut self, body: &[u8]) -> Vec<u8> {
        let (length, octets) = match body[1..] {
            [low, high, ..] if low >= 0x80 => (usize::from(low & 0x7f) | usize::from(high) << 7, &body[3..]),
            [low, ..] => (usize::from(low), &body[2..]),
            [] => panic!("no octets of a login"),
        };
        let said = std::str::from_utf8(&octets[..length - 1]).unwrap().to_owned();
        let answer = if self.mechanism == "PLAIN" { self.plain(&said) } else { self.scram(&said) };
        let (code, octets): (i16, String) = answer.map_or((58, String::new()), |octets| (0, octets));
        let length = u16::try_from(octets.len() + 1).unwrap();
        let length = [u8::try_from(length & 0x7f).unwrap() | 0x80, u8::try_from(length >> 7).unwrap()];
        [&[0], &code.to_be_bytes()[..], &[0], &length, octets.as_bytes(), &[0; 8], &[0]].concat()
    }

    fn plain(&mut self, said: &str) -> Option<String> {
        self.is_done = said == format!("\0{USER}\0{PASSWORD}");
        self.is_done.then(String::new)
    }

    fn scram(&mut self, said: &str) -> Option<String> {
        const SALT: &[u8] = b"salt of the test";
        const ROUNDS: u32 = 4096;
        let Some(before) = self.said.take() else {
            let first = said.strip_prefix("n,,")?;
            let nonce = first.split_once(",r=")?.1;
            first.starts_with(&format!("n={USER},")).then_some(())?;
            let answer = format!("r={nonce}server,s={},i={ROUNDS}", STANDARD.encode(SALT));
            self.said = Some(format!("{first},{answer}"));
            return Some(answer);
        };
        let (sha256, hash) = (self.mechanism == "SCRAM-SHA-256", self.mechanism);
        let (round, mac, digests) = if sha256 {
            (pbkdf2::PBKDF2_HMAC_SHA256, hmac::HMAC_SHA256, &digest::SHA256)
        } else {
            assert_eq!(hash, "SCRAM-SHA-512");
            (pbkdf2::PBKDF2_HMAC_SHA512, hmac::HMAC_SHA512, &digest::SHA512)
        };
        let mut salted = vec![0; digests.output_len()];
        pbkdf2::derive(round, ROUNDS.try_into().unwrap(), SALT, PASSWORD.as_bytes(), &mut salted);
        let sign = |key: &[u8], octets: &[u8]| hmac::sign(&hmac::Key::new(mac, key), octets).as_ref().to_vec();
        let (bare, proof) = said.rsplit_once(",p=")?;
        let all = format!("{before},{bare}");
        let client = sign(&salted, b"Client Key");
        let signature = sign(digest::digest(digests, &client).as_ref(), all.as_bytes());
        let wanted: Vec<u8> = client.iter().zip(&signature).map(|(one, other)| one ^ other).collect();
        self.is_done = STANDARD.decode(proof).ok()? == wanted;
        self.is_done.then(|| format!("v={}", STANDARD.encode(sign(&sign(&salted, b"Server Key"), all.as_bytes()))))
    }
}
