//! What peers may do that keep to nothing, in SMTP's own alphabet.

#![allow(clippy::expect_used, reason = "a test that fails says where")]

use proptest::collection::vec;
use proptest::prelude::*;
use relayscope::trace::Leg;

use crate::conversation::show::escape;
use crate::conversation::world::{Input, World};

/// One thing that happens in a wild session.
#[derive(Clone)]
pub enum Wild {
    Client(Vec<u8>),
    Upstream(Vec<u8>),
    ClientCloses,
    UpstreamCloses,
    UpstreamResets,
    Seconds(u16),
    /// Whatever the machine asked for came to pass, or failed.
    Answer(bool),
    Drain,
    ShutDown,
}

impl std::fmt::Debug for Wild {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Client(octets) => write!(f, "C: {}", escape(octets)),
            Self::Upstream(octets) => write!(f, "S: {}", escape(octets)),
            Self::ClientCloses => f.write_str("* client closes"),
            Self::UpstreamCloses => f.write_str("* upstream closes"),
            Self::UpstreamResets => f.write_str("* upstream resets"),
            Self::Seconds(seconds) => write!(f, "* {seconds}s pass"),
            Self::Answer(ok) => write!(f, "* asked for: {ok}"),
            Self::Drain => f.write_str("* drain"),
            Self::ShutDown => f.write_str("* shut down"),
        }
    }
}

/// SMTP's own alphabet, and whatever else an octet can be.
fn wild_octets(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        12 => proptest::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
        2 => vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(0u8), Just(b' ')], 1..5),
        1 => vec(any::<u8>(), 1..30),
    ];
    vec(word, 1..6).prop_map(|words| words.concat())
}

/// Enough of a TLS client's first record to be taken for one, and of a server's.
pub const HELLO: &str = "\x16\x03\x01\0\x05\x01\0\0\x01\0";
pub const ANSWER: &str = "\x16\x03\x03\0\x05\x02\0\0\x01\0";

const CLIENT_WORDS: &[&str] = &[
    "EHLO client.example\r\n",
    "HELO client.example\r\n",
    "MAIL FROM:<ann@x.example>\r\n",
    "MAIL FROM:<> SIZE=100\r\n",
    "RCPT TO:<bob@y.example>\r\n",
    "RCPT TO:<dan@y.example>\r\n",
    "RCPT TO:<eve@z.example>\r\n",
    "DATA\r\n",
    "hi\r\n.\r\n",
    "hi there\r\n",
    ".\r\n",
    "..\r\n",
    "\n.\r\n",
    "BDAT 5\r\nabcde",
    "BDAT 7 LAST\r\nabc\r\n.\n",
    "BDAT 0 LAST\r\n",
    "BDAT 90\r\n",
    "RSET\r\n",
    "NOOP\r\n",
    "QUIT\r\n",
    "STARTTLS\r\n",
    HELLO,
    "\x17\x03\x03\0\x01x",
    "AUTH PLAIN AGFubgBzZWNyZXQ=\r\n",
    "AUTH LOGIN\r\n",
    "YW5u\r\n",
    "XCLIENT NAME=x\r\n",
    "VRFY bob\r\n",
    "nonsense\r\n",
];

const UPSTREAM_WORDS: &[&str] = &[
    "220 mx.example ESMTP\r\n",
    "250-mx.example\r\n250-PIPELINING\r\n250-AUTH PLAIN LOGIN\r\n250 CHUNKING\r\n",
    "250-mx.example\r\n250-XCLIENT ADDR HELO\r\n250-CHUNKING\r\n250 XFORWARD ADDR\r\n",
    "250 ok\r\n",
    "250 ok\r\n250 ok\r\n",
    "250-ok\r\n",
    "354 go ahead\r\n",
    "334 \r\n",
    "235 ok\r\n",
    "421 bye\r\n",
    "450 later\r\n",
    "550 never\r\n",
    "550-never\r\n550 ever\r\n",
    "221 bye\r\n",
    "25",
    ANSWER,
    "\x15\x03\x03\0\x02\x02(",
    "HTTP/1.1 200 OK\r\n",
];

pub fn wild_event() -> impl Strategy<Value = Wild> {
    prop_oneof![
        14 => wild_octets(CLIENT_WORDS).prop_map(Wild::Client),
        14 => wild_octets(UPSTREAM_WORDS).prop_map(Wild::Upstream),
        1 => Just(Wild::ClientCloses),
        1 => Just(Wild::UpstreamCloses),
        1 => Just(Wild::UpstreamResets),
        2 => (0u16..1_500).prop_map(Wild::Seconds),
        10 => proptest::bool::weighted(0.8).prop_map(Wild::Answer),
        1 => Just(Wild::Drain),
        1 => Just(Wild::ShutDown),
    ]
}

/// Plays an event, its octets in pieces of the given sizes.
pub fn play(world: &mut World, event: &Wild, cuts: &[usize]) {
    let mut give = |leg: Leg, octets: &[u8]| {
        let (mut rest, mut cuts) = (octets, cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(rest.len().min(*cuts.next().expect("a cut")));
            world.input(leg, Input::Octets(piece.to_vec()));
            rest = tail;
        }
    };
    match event {
        Wild::Client(octets) => give(Leg::Client, octets),
        Wild::Upstream(octets) => give(Leg::Upstream, octets),
        Wild::ClientCloses => world.input(Leg::Client, Input::Fin),
        Wild::UpstreamCloses => world.input(Leg::Upstream, Input::Fin),
        Wild::UpstreamResets => world.input(Leg::Upstream, Input::Reset),
        Wild::Seconds(seconds) => world.pass(u64::from(*seconds) * 1_000_000),
        Wild::Answer(ok) => world.answer(*ok),
        Wild::Drain => world.drain(),
        Wild::ShutDown => world.shut_down(),
    }
}
