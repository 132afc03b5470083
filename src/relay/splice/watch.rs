//! Watches one direction of a TLS connection go by: cuts records and handshake messages, until everything is encrypted.
//!
//! Octets are looked at, never held back. What is kept to join pieces is bounded, and given up at the first encrypted record.

use super::sight::Sight;
use crate::trace::Leg;

/// Octets of one direction that are looked at.
const MOST: usize = 65_536;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// Header, level, description, content type and tag of an encrypted alert (RFC 8446 §5.2), without the header.
const ENCRYPTED_ALERT: usize = 2 + 1 + 16;

#[derive(Debug)]
pub(super) struct Watch {
    from: Leg,
    pub octets: u64,
    looked_at: usize,
    records: Vec<u8>,
    messages: Vec<u8>,
    /// TLS 1.3 is spoken: ChangeCipherSpec means nothing (RFC 8446 §D.4).
    pub tls13: bool,
    done: bool,
}

impl Watch {
    pub(super) fn new(from: Leg) -> Self {
        Self { from, octets: 0, looked_at: 0, records: Vec::new(), messages: Vec::new(), tls13: false, done: false }
    }

    /// Whether these next octets can belong to TLS. Only the first six are judged: a handshake or an alert, and of a client its hello.
    pub(super) fn takes(&self, octets: &[u8]) -> bool {
        let places = usize::try_from(self.octets).unwrap_or(usize::MAX)..6;
        places.zip(octets).all(|(place, octet)| match (place, self.from) {
            (0, Leg::Client) => *octet == HANDSHAKE,
            (0, Leg::Upstream) => matches!(*octet, HANDSHAKE | ALERT),
            (1, _) => *octet == 3,
            (5, Leg::Client) => *octet == 1,
            _ => true,
        })
    }

    /// Everything is encrypted, or nothing more is read.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Counts the octets, and tells what they show.
    pub(super) fn observe(&mut self, octets: &[u8]) -> Vec<Sight> {
        self.octets = self.octets.saturating_add(octets.len() as u64);
        let mut seen = Vec::new();
        if self.done {
            return seen;
        }
        let room = MOST.saturating_sub(self.looked_at).min(octets.len());
        self.looked_at += room;
        self.records.extend_from_slice(octets.get(..room).unwrap_or_default());
        let mut used = 0;
        while !self.done
            && let Some([kind, _, _, high, low, rest @ ..]) = self.records.get(used..)
        {
            let (kind, length) = (*kind, usize::from(u16::from_be_bytes([*high, *low])));
            let Some(content) = rest.get(..length) else {
                // The first encrypted record says enough before it is whole.
                if kind == APPLICATION_DATA {
                    self.goes_dark(length, &mut seen);
                }
                break;
            };
            let content = content.to_vec();
            used += 5 + length;
            self.record(kind, &content, &mut seen);
        }
        self.records.drain(..used.min(self.records.len()));
        if !self.done && self.looked_at >= MOST {
            self.done = true;
            seen.push(Sight::Unreadable);
        }
        if self.done {
            (self.records, self.messages) = (Vec::new(), Vec::new());
        }
        seen
    }

    fn record(&mut self, kind: u8, content: &[u8], seen: &mut Vec<Sight>) {
        match (kind, content) {
            (CHANGE_CIPHER_SPEC, _) if self.tls13 => {}
            (CHANGE_CIPHER_SPEC, _) => self.goes_dark(0, seen),
            (ALERT, [level, description]) => seen.push(Sight::of_alert(*level, *description)),
            (HANDSHAKE, _) => {
                self.messages.extend_from_slice(content);
                self.cut_messages(seen);
            }
            (APPLICATION_DATA, _) => self.goes_dark(content.len(), seen),
            _ => self.is_unreadable(seen),
        }
    }

    fn cut_messages(&mut self, seen: &mut Vec<Sight>) {
        let mut used = 0;
        while let Some([_, a, b, c, ..]) = self.messages.get(used..) {
            let end = used + 4 + usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).unwrap_or(MOST);
            let Some(message) = self.messages.get(used..end) else {
                if end - used > MOST {
                    self.is_unreadable(seen);
                }
                break;
            };
            used = end;
            match Sight::of_message(message) {
                Some(Sight::Unreadable) => {
                    self.is_unreadable(seen);
                    break;
                }
                Some(sight) => {
                    self.tls13 |= sight == Sight::Retry || matches!(&sight, Sight::ServerHello(hello) if hello.tls13);
                    seen.push(sight);
                }
                None => {}
            }
        }
        self.messages.drain(..used.min(self.messages.len()));
    }

    fn goes_dark(&mut self, length: usize, seen: &mut Vec<Sight>) {
        self.done = true;
        seen.push(Sight::Dark { alert: length == ENCRYPTED_ALERT });
    }

    fn is_unreadable(&mut self, seen: &mut Vec<Sight>) {
        self.done = true;
        seen.push(Sight::Unreadable);
    }
}
