//! A name server for servers that won't do without one: whatever it is asked for doesn't exist.

use std::net::{Ipv4Addr, UdpSocket};

/// Runs until the test ends. Gives its address, one of its own on the loopback network: the port is always 53.
pub fn serve_nothing() -> Ipv4Addr {
    let start = std::process::id();
    let addresses = (start..start + 60_000).map(|it| Ipv4Addr::new(127, 53, (it >> 8) as u8, it as u8));
    let socket = addresses.into_iter().find_map(|address| UdpSocket::bind((address, 53)).ok().map(|socket| (socket, address)));
    let (socket, address) = socket.expect("a loopback address whose port 53 is free");
    std::thread::spawn(move || {
        let mut octets = [0; 512];
        while let Ok((read, from)) = socket.recv_from(&mut octets) {
            if read >= 12 {
                // RFC 1035 4.1.1: a reply (QR), recursion available (RA), name error (RCODE 3); the question stands as it came.
                octets[2] |= 0x80;
                octets[3] = 0x83;
                octets[6..12].fill(0);
                let _ = socket.send_to(&octets[..question_end(&octets[..read])], from);
            }
        }
    });
    address
}

/// Behind the first question: a name, its type and class. What follows (EDNS) isn't repeated.
fn question_end(query: &[u8]) -> usize {
    let mut at = 12;
    while let Some(length) = query.get(at).filter(|it| **it > 0) {
        at += usize::from(*length) + 1;
    }
    (at + 5).min(query.len())
}
