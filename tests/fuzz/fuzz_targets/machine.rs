//! The machine between two liars: it doesn't panic, what leaves is what came, and every end leaves a record.
#![no_main]

#[path = "../../support/conversation/mod.rs"]
mod conversation;

use std::net::IpAddr;

use conversation::script::parse;
use conversation::world::{ByHand, Input, Sign, World};
use libfuzzer_sys::fuzz_target;
use relayscope::relay::options::ClientTls;
use relayscope::trace::{Leg, Record};

const OPTIONS: &[&str] = &[
    "! upstream tls opportunistic",
    "! upstream tls required",
    "! listener tls offered",
    "! listener tls implicit",
    "! login any proxy tanstaaf",
    "! allow plaintext auth upstream",
    "! on store failure defer",
    "! bare newline normalize",
];

/// The first octet chooses options; then each line is an event: its first octet says which, the rest are octets (`~` is CRLF).
fn events(data: &[u8]) -> impl Iterator<Item = (u8, Vec<u8>)> {
    data.split(|octet| *octet == b'\x1e').take(64).filter_map(|line| {
        let (&kind, rest) = line.split_first()?;
        Some((kind, rest.split(|octet| *octet == b'~').collect::<Vec<_>>().join(&b"\r\n"[..])))
    })
}

fuzz_target!(|data: &[u8]| {
    let Some((&switches, data)) = data.split_first() else { return };
    let chosen: Vec<&str> = OPTIONS.iter().enumerate().filter(|(at, _)| switches & (1 << at) != 0).map(|(_, line)| *line).collect();
    let chosen: Vec<&str> = if switches & 0x0c == 0x0c { [chosen, vec!["! listener tls passthrough"]].concat() } else { chosen };
    let normalizes = switches & 0x80 != 0;
    let options = parse(&chosen.join("\n")).expect("options").options;
    let implicit = options.listener.tls == ClientTls::Implicit;
    let logs_in = options.upstream.auth.is_some() || switches & 0x03 != 0;
    let mut world = World::new(options, IpAddr::from([127, 0, 0, 1]), ByHand { connect: true, store: true, mark: true, failures: false });
    if implicit {
        world.begin_with_tls()
    } else {
        world.start()
    }

    let mut came = Vec::new();
    for (kind, octets) in events(data) {
        match kind % 12 {
            0..=3 => {
                came.extend_from_slice(&octets);
                world.input(Leg::Client, Input::Octets(octets));
            }
            4..=6 => world.input(Leg::Upstream, Input::Octets(octets)),
            7 => world.input(Leg::Client, if octets.is_empty() { Input::Fin } else { Input::Reset }),
            8 => world.input(Leg::Upstream, if octets.is_empty() { Input::Fin } else { Input::Reset }),
            9 => world.answer(octets.is_empty()),
            10 => world.pass(octets.len() as u64 * 30_000_000),
            _ => {
                if octets.is_empty() {
                    world.drain()
                } else {
                    world.shut_down()
                }
            }
        }
    }
    world.input(Leg::Client, Input::Reset);
    world.pass(7_200_000_000);

    assert!(world.machine.finished() && world.machine.deadline().is_none());
    assert!(world.violations.is_empty(), "{:?}", world.violations);
    let sessions = world.records.iter().filter(|record| matches!(record, Record::Session(_))).count();
    let transactions = world.records.iter().filter(|record| matches!(record, Record::Transaction(_))).count();
    assert_eq!(sessions, usize::from(!world.machine.ended_by_quit() || transactions == 0));
    if !normalizes && !logs_in {
        let mut left = came.iter();
        let went = world.upstream_out.iter().filter_map(|sign| if let Sign::Octets(octets) = sign { Some(octets) } else { None });
        assert!(went.flatten().all(|octet| left.any(|it| it == octet)), "what left isn't what came");
    }
});
