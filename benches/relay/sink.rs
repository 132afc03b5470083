//! The server at the end: takes every message, keeps none, counts octets.

use std::io::{self, BufRead};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{LocalSet, spawn_local};

const GREETING: &[u8] = b"220 sink.example ESMTP ready\r\n";
const EHLO_REPLY: &[u8] =
    b"250-sink.example\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT\r\n250 DSN\r\n";
/// Few calls for big messages; idle sessions never touch it.
const READ_OCTETS: usize = 128 << 10;

#[derive(Default)]
struct Counts {
    messages: AtomicU64,
    octets: AtomicU64,
}

/// Prints its port, then `messages octets` for each line it is given, and ends with its standard input.
pub fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, async {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(4_096)?;
        println!("{}", listener.local_addr()?.port());
        let counts = Arc::new(Counts::default());
        let asked = Arc::clone(&counts);
        std::thread::spawn(move || {
            for _ in io::stdin().lock().lines() {
                println!("{} {}", asked.messages.load(Relaxed), asked.octets.load(Relaxed));
            }
            std::process::exit(0);
        });
        loop {
            // Out of descriptors, or a client that has gone again: the next one may do better.
            if let Ok((stream, _)) = listener.accept().await {
                let counts = Arc::clone(&counts);
                spawn_local(async move { session(stream, &counts).await });
            }
        }
    })
}

enum Place {
    Commands,
    /// In a message; its last five octets.
    Body([u8; 5]),
}

async fn session(mut stream: TcpStream, counts: &Counts) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(GREETING).await?;
    let mut buffer = vec![0; READ_OCTETS];
    let mut unread: Vec<u8> = Vec::new();
    let mut replies: Vec<u8> = Vec::new();
    let mut place = Place::Commands;
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let octets = &buffer[..read];
        match &mut place {
            Place::Commands => unread.extend_from_slice(octets),
            Place::Body(tail) => body(octets, tail, counts),
        }
        if let Place::Body(tail) = &place
            && *tail == *b"\r\n.\r\n"
        {
            let number = counts.messages.fetch_add(1, Relaxed) + 1;
            replies.extend_from_slice(format!("250 2.0.0 Ok: queued as {number:011X}\r\n").as_bytes());
            place = Place::Commands;
        }
        let mut quit = false;
        while let Place::Commands = place {
            let Some(line_end) = memchr::memchr(b'\n', &unread) else { break };
            let reply: &[u8] = match unread.get(..4).map(<[u8]>::to_ascii_uppercase).as_deref() {
                Some(b"EHLO") => EHLO_REPLY,
                Some(b"XCLI") => GREETING, // XCLIENT starts the session anew
                Some(b"MAIL") => b"250 2.1.0 Ok\r\n",
                Some(b"RCPT") => b"250 2.1.5 Ok\r\n",
                Some(b"DATA") => {
                    // The load generator waits for this reply, so no octet of the message is here yet.
                    place = Place::Body(*b"...\r\n");
                    b"354 End data with <CR><LF>.<CR><LF>\r\n"
                }
                Some(b"QUIT") => {
                    quit = true;
                    b"221 2.0.0 Bye\r\n"
                }
                Some(b"HELO" | b"RSET" | b"NOOP") => b"250 2.0.0 Ok\r\n",
                _ => b"500 5.5.2 Command unknown\r\n",
            };
            replies.extend_from_slice(reply);
            unread.drain(..=line_end);
        }
        if !replies.is_empty() {
            stream.write_all(&replies).await?;
            replies.clear();
        }
        if quit {
            return Ok(());
        }
    }
}

/// The load generator sends nothing behind its end-of-data, and no message contains one: the last octets decide.
fn body(octets: &[u8], tail: &mut [u8; 5], counts: &Counts) {
    counts.octets.fetch_add(octets.len() as u64, Relaxed);
    let kept = octets.len().min(tail.len());
    tail.rotate_left(kept);
    tail[5 - kept..].copy_from_slice(&octets[octets.len() - kept..]);
}
