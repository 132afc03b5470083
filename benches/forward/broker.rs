//! A broker that says it leads partition 0 of every topic, takes all records, and keeps none.

use std::io::{Read, Write};
use std::net::TcpStream;

/// What it says it speaks: api, oldest and newest version.
const VERSIONS: [(i16, i16, i16); 3] = [(PRODUCE, 3, 7), (METADATA, 4, 4), (API_VERSIONS, 0, 0)];
const PRODUCE: i16 = 0;
const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;

/// `answers`: whether it says that it has taken records.
pub fn serve(mut stream: TcpStream, answers: bool) {
    let port = stream.local_addr().unwrap().port();
    let mut length = [0; 4];
    let mut request = Vec::new();
    while stream.read_exact(&mut length).is_ok() {
        request.resize(u32::from_be_bytes(length) as usize, 0);
        if stream.read_exact(&mut request).is_err() {
            return;
        }
        let (api, version) = (i16::from_be_bytes([request[0], request[1]]), i16::from_be_bytes([request[2], request[3]]));
        let name = usize::from(u16::from_be_bytes([request[8], request[9]]));
        let body = &request[10 + name..];
        let mut answer = vec![0; 4];
        answer.extend_from_slice(&request[4..8]);
        match api {
            API_VERSIONS => versions(&mut answer, version),
            METADATA => metadata(&mut answer, text(&body[4..]), port),
            _ if !answers => continue,
            _ => taken(&mut answer, text(&body[12..])),
        }
        let octets = u32::try_from(answer.len() - 4).unwrap();
        answer[..4].copy_from_slice(&octets.to_be_bytes());
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}

/// A string with the length before it.
fn text(octets: &[u8]) -> &[u8] {
    &octets[..2 + usize::from(u16::from_be_bytes([octets[0], octets[1]]))]
}

fn versions(answer: &mut Vec<u8>, version: i16) {
    answer.extend(if version > 0 { 35i16 } else { 0 }.to_be_bytes()); // asked again by an older version
    answer.extend([0, 0, 0, 3]);
    VERSIONS.iter().for_each(|(api, oldest, newest)| answer.extend([*api, *oldest, *newest].iter().flat_map(|it| it.to_be_bytes())));
}

/// One broker, itself, and the topic with one partition.
fn metadata(answer: &mut Vec<u8>, topic: &[u8], port: u16) {
    answer.extend([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 9]);
    answer.extend(b"localhost");
    answer.extend(u32::from(port).to_be_bytes());
    answer.extend([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    answer.extend([0, 0, 0, 1, 0, 0]);
    answer.extend(topic);
    answer.extend([0, 0, 0, 0, 1]);
    answer.extend([0; 18]);
}

fn taken(answer: &mut Vec<u8>, topic: &[u8]) {
    answer.extend([0, 0, 0, 1]);
    answer.extend(topic);
    answer.extend([0, 0, 0, 1]);
    answer.extend([0; 4 + 2 + 24 + 4]);
}
