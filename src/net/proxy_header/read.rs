//! Reads the header off a connection, and nothing behind it.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::{Framing, Header, HeaderError};

/// Octets looked at once; nearly every header is shorter.
const LOOK: usize = 256;

/// Waits for the header. Octets behind it stay with the kernel, for the TLS handshake or the session to read.
///
/// If the future is dropped, what it took of a header is lost: the connection is of no use any more.
pub async fn read_header(stream: &mut TcpStream, timeout: Duration) -> Result<Header, HeaderError> {
    let mut framing = Framing::default();
    match tokio::time::timeout(timeout, gather(stream, &mut framing)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(HeaderError::TimedOut { after: timeout, received: framing.received() }),
    }
}

async fn gather(stream: &mut TcpStream, framing: &mut Framing) -> Result<Header, HeaderError> {
    let mut octets = [0; LOOK];
    loop {
        let seen = stream.peek(&mut octets).await?;
        if seen == 0 {
            let received = framing.received();
            return Err(if received == 0 { HeaderError::ClosedAtOnce } else { HeaderError::Closed { received } });
        }
        let (taken, header) = framing.take(octets.get(..seen).unwrap_or_default())?;
        // Those octets are with the kernel already: this doesn't wait.
        stream.read_exact(octets.get_mut(..taken).unwrap_or_default()).await?;
        if let Some(header) = header {
            return Ok(header);
        }
    }
}
