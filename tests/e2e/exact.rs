//! Every octet arrives as it was sent, from 1 B to 50 MB, and the record's digest says so.

use relayscope::trace::{Flag, State, Transaction};

use crate::support::client::Client;
use crate::support::message::{Message, Random, digest};
use crate::support::place::Place;
use crate::support::records;
use crate::support::relayscope::Relayscope;
use crate::support::sink::{Manner, Sink, Taken};

const MB: usize = 1_000_000;

#[test]
fn data_of_many_sizes() {
    let sizes = [2, 3, 4, 5, 100, 511, 512, 998, 4096, 65_535, 65_536, 65_537, 131_072, 131_073, MB, 10 * MB];
    let messages: Vec<_> = sizes.iter().map(|size| Message::sized(&format!("size{size}"), *size)).collect();
    for (message, size) in messages.iter().zip(sizes) {
        assert_eq!(message.octets.len(), size);
    }
    let (taken, transactions) = sent_in_one_session(&messages);
    for ((message, taken), transaction) in messages.iter().zip(&taken).zip(&transactions) {
        check_data(message, taken, transaction);
    }
}

#[test]
fn data_of_50_mb_without_holding_it() {
    let message = Message::sized("huge", 50 * MB);
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let mut relayscope = Relayscope::simple(&place, sink.address);
    let mut client = Client::ready(relayscope.address());
    assert_eq!(client.deliver(&Message::sized("warm", MB)).unwrap().code, 250);
    let mut peaks = vec![peak_memory(relayscope.process().id())];
    for _ in 0..2 {
        assert_eq!(client.deliver(&message).unwrap().code, 250);
        peaks.push(peak_memory(relayscope.process().id()));
    }
    client.quit();
    // What it costs to the octet is the bench's to say; here other threads take memory too (the index is opened meanwhile).
    assert!(peaks[1] - peaks[0] < 25 * MB as u64, "a message is held whole: {peaks:?}");
    assert!(peaks[2] - peaks[1] < 2 * MB as u64, "something of each message stays: {peaks:?}");
    let transactions = records::transactions(&relayscope.stop());
    for number in [1, 2] {
        check_data(&message, &sink.taken()[number], &transactions[number]);
    }
}

#[test]
fn chunks_of_any_octets() {
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let relayscope = Relayscope::simple(&place, sink.address);
    let mut client = Client::ready(relayscope.address());
    let mut random = Random(7);
    let mut sent = Vec::new();
    for (size, chunk) in [(0, 1), (1, 1), (2, 1), (300, 7), (70_000, 65_536), (3 * MB, 100_000)] {
        // Every octet value, lone newlines and dots on lines of their own among them: length rules.
        let content: Vec<u8> = (0..size).map(|at| if at % 9 == 0 { b"\r\n.\n\r\0"[at / 9 % 6] } else { random.next() as u8 }).collect();
        client.command(&format!("MAIL FROM:<size{size}@from.example> BODY=BINARYMIME"), 250);
        client.command("RCPT TO:<bob@to.example>", 250);
        for part in content.chunks(chunk) {
            client.send(format!("BDAT {}\r\n", part.len()));
            client.send(part);
            client.expect(250);
        }
        client.command("BDAT 0 LAST", 250);
        sent.push(content);
    }
    client.quit();
    let transactions = records::transactions(&relayscope.stop());
    for ((content, taken), transaction) in sent.iter().zip(sink.taken()).zip(transactions) {
        assert_eq!(taken.content_octets, content.len());
        assert_eq!(taken.content_digest, digest(content));
        assert_eq!(transaction.message.body_digest.map(|it| it.to_string()), Some(digest(content)));
        assert_eq!(transaction.message.size, content.len() as u64);
        assert_eq!(transaction.outcome.state, State::Accepted);
        assert_eq!(transaction.flags.contains(&Flag::BareNewline), transaction.message.bare_newlines > 0);
    }
}

/// Line ends at every place of a segment: the terminator is recognised, and nothing else is.
#[test]
fn dots_and_line_ends_cut_anywhere() {
    let bodies: [&[u8]; 6] = [b".\r\n", b"..\r\n", b"\r\n", b"\r\n.\r\nstill body\r\n", b"a\r\n..b\r\n.c\r\n", b".\r\n.\r\n.\r\n\r\n\r\n"];
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let relayscope = Relayscope::simple(&place, sink.address);
    let mut client = Client::ready(relayscope.address());
    let mut sent = Vec::new();
    for (number, body) in bodies.iter().enumerate() {
        let message = Message::of(&format!("body{number}"), body.to_vec());
        let whole = [&*message.on_the_wire(), b".\r\n"].concat();
        for cut in 0..=whole.len() {
            client.open_data(&message);
            client.send(&whole[..cut]);
            client.send(&whole[cut..]);
            client.expect(250);
            sent.push(message.clone());
        }
    }
    client.quit();
    let transactions = records::transactions(&relayscope.stop());
    assert_eq!((transactions.len(), sink.taken().len()), (sent.len(), sent.len()));
    for ((message, taken), transaction) in sent.iter().zip(sink.taken()).zip(&transactions) {
        check_data(message, &taken, transaction);
    }
}

fn sent_in_one_session(messages: &[Message]) -> (Vec<Taken>, Vec<Transaction>) {
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let relayscope = Relayscope::simple(&place, sink.address);
    let mut client = Client::ready(relayscope.address());
    for message in messages {
        let reply = client.deliver(message).unwrap();
        assert_eq!(reply.code, 250, "{}", reply.text);
    }
    client.quit();
    let transactions = records::transactions(&relayscope.stop());
    assert_eq!((transactions.len(), sink.taken().len()), (messages.len(), messages.len()));
    (sink.taken(), transactions)
}

#[track_caller]
fn check_data(message: &Message, taken: &Taken, transaction: &Transaction) {
    let wire = message.on_the_wire();
    assert_eq!((&taken.reverse_path, &taken.recipients), (&message.reverse_path, &vec![message.recipient.clone()]));
    assert_eq!((taken.content_octets, taken.wire_octets), (message.octets.len(), wire.len()));
    assert_eq!(taken.content_digest, digest(&message.octets));
    assert_eq!(taken.wire_digest, digest(&wire));
    assert_eq!(transaction.envelope.reverse_path, message.reverse_path);
    assert_eq!(transaction.message.body_digest.map(|it| it.to_string()), Some(taken.wire_digest.clone()));
    assert_eq!(transaction.message.size, message.octets.len() as u64);
    assert_eq!(transaction.outcome.upstream_queue_id.as_deref(), Some(taken.queue_id.as_str()));
}

/// The most memory the process ever had, in octets.
fn peak_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
