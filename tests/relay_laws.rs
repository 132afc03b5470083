//! Laws of the relay engine, whatever both sides send: what leaves is what came, nobody hears of an acceptance that wasn't, every end
//! leaves a record, memory is bounded.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test that fails says where")]

#[path = "support/conversation/mod.rs"]
mod conversation;
#[path = "support/laws/wild.rs"]
mod wild;

use std::net::IpAddr;
use std::sync::Arc;

use conversation::peers::{Asked, Client, Question, SmartHost};
use conversation::replay::same;
use conversation::script::{parse, plain_options};
use conversation::show::escape;
use conversation::world::{ByHand, Input, Sign, World};
use proptest::collection::vec;
use proptest::prelude::*;
use relayscope::relay::options::{ClientTls, OnStoreFailure, SessionOptions};
use relayscope::trace::{EndHow, Leg, Record};
use wild::{ANSWER, HELLO, Wild, play, wild_event};

const BY_HAND: ByHand = ByHand { connect: true, store: true, mark: true, failures: false };

const AUTO: ByHand = ByHand { connect: false, store: false, mark: false, failures: false };

fn world() -> World {
    let mut world = World::new(Arc::new(plain_options()), IpAddr::from([127, 0, 0, 1]), AUTO);
    world.start();
    world
}

fn options() -> SessionOptions {
    plain_options()
}

/// Every policy that changes the course of a session.
fn any_options() -> impl Strategy<Value = SessionOptions> {
    let lines = proptest::sample::subsequence(
        vec![
            "! upstream tls opportunistic",
            "! upstream tls required",
            "! upstream tls implicit",
            "! listener tls offered",
            "! listener tls required",
            "! listener tls implicit",
            "! listener tls passthrough",
            "! login any proxy tanstaaf",
            "! allow plaintext auth upstream",
            "! on store failure defer",
            "! bare newline reject",
            "! bare newline normalize",
            "! hosts mx1.example mx2.example",
            "! limit message_size 20",
            "! limit recipients 2",
            "! limit client_errors 3",
            "! client 192.0.2.7",
            "! accept domains y.example",
            "! static",
            "! tell client xclient",
            "! tell client xforward",
            "! lmtp 2",
            "! rule partner domain z.example mx.partner.example",
        ],
        0..7,
    );
    lines.prop_map(|lines| Arc::unwrap_or_clone(parse(&lines.join("\n")).expect("options").options))
}

fn world_of(options: &SessionOptions) -> World {
    let implicit = options.listener.tls == ClientTls::Implicit;
    let mut world = World::new(Arc::new(options.clone()), IpAddr::from([127, 0, 0, 1]), BY_HAND);
    if implicit {
        world.begin_with_tls();
    } else {
        world.start();
    }
    world
}

/// The octets that came out on a leg; more than one connection's are joined.
fn octets(signs: &[Sign]) -> Vec<u8> {
    let all = signs.iter().filter_map(|sign| if let Sign::Octets(octets) = sign { Some(octets.as_slice()) } else { None });
    all.collect::<Vec<_>>().concat()
}

fn is_subsequence(part: &[u8], whole: &[u8]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|octet| whole.any(|it| it == octet))
}

/// What holds of any session that has ended.
fn check_end(world: &mut World) -> Result<(), TestCaseError> {
    prop_assert!(world.machine.finished());
    prop_assert_eq!(world.machine.deadline(), None);
    let sessions = world.records.iter().filter(|record| matches!(record, Record::Session(_))).count();
    let transactions = world.records.iter().filter(|record| matches!(record, Record::Transaction(_))).count();
    let by_quit = world.machine.ended_by_quit();
    prop_assert_eq!(sessions, usize::from(!by_quit || transactions == 0), "quit: {}, transactions: {}", by_quit, transactions);
    for record in &world.records {
        if let Record::Session(session) = record {
            prop_assert_eq!(session.transactions as usize, transactions);
            prop_assert_eq!(session.ended.how == EndHow::Quit, by_quit);
        }
    }
    prop_assert!(world.violations.is_empty(), "{:?}", world.violations);
    Ok(())
}

fn check_bounds(world: &World, piece: usize) -> Result<(), TestCaseError> {
    let options = options();
    let (client, upstream) = world.machine.unread();
    prop_assert!(client <= options.limits.auth_line.max(8_192) + piece, "{} octets of the client unread", client);
    prop_assert!(upstream <= options.limits.reply_line * options.limits.reply_lines + piece, "{} octets unread", upstream);
    Ok(())
}

/// Lets a session end, if it hasn't.
fn hang_up(world: &mut World) {
    world.input(Leg::Client, Input::Reset);
    world.pass(3_600_000_000 * 2);
}

/// A step of a sane client.
#[derive(Debug, Clone)]
enum Sane {
    /// A line that is answered once.
    Command(&'static str),
    /// DATA, and the message once it may come.
    Message(Vec<u8>),
    Chunk(Vec<u8>, bool),
    Hang,
}

fn sane_step() -> impl Strategy<Value = Sane> {
    let body = || vec(prop_oneof![Just("a"), Just("\r\n"), Just("."), Just("\r\n."), Just("text\r\n"), Just("\n"), Just("\r")], 0..12);
    prop_oneof![
        6 => proptest::sample::select(&["MAIL FROM:<ann@x.example>", "RCPT TO:<bob@y.example>", "RSET", "NOOP"][..]).prop_map(Sane::Command),
        1 => Just(Sane::Command("XCLIENT NAME=x")),
        6 => body().prop_map(|parts| Sane::Message(stuffed(&parts.concat()))),
        3 => (body(), any::<bool>()).prop_map(|(parts, last)| Sane::Chunk(parts.concat().into_bytes(), last)),
        1 => Just(Sane::Hang),
    ]
}

/// A message as on the wire: strict lines' dots stuffed, CRLF at its end.
fn stuffed(text: &str) -> Vec<u8> {
    let text = format!("\r\n{text}\r\n").replace("\r\n.", "\r\n..");
    text.as_bytes()[2..].to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_octets_break_a_session(events in vec(wild_event(), 1..40), cuts in vec(1usize..40, 1..6)) {
        let mut world = world();
        let mut came = Vec::new();
        for event in &events {
            if let Wild::Client(octets) = event {
                came.extend_from_slice(octets);
            }
            play(&mut world, event, &cuts);
            check_bounds(&world, 40)?;
        }
        hang_up(&mut world);
        check_end(&mut world)?;
        let went = octets(&world.upstream_out);
        prop_assert!(is_subsequence(&went, &came), "what left isn't what came: {}", escape(&went));
    }

    /// Passed through, every octet of both sides arrives, in order, and is counted.
    #[test]
    fn what_is_passed_through_is_what_came(
        pieces in vec((any::<bool>(), vec(any::<u8>(), 1..200)), 0..20),
        cuts in vec(1usize..40, 1..6),
        client_first in any::<bool>(),
    ) {
        let mut world = conversation::peers::passed_through();
        play(&mut world, &Wild::Client(HELLO.into()), &cuts);
        play(&mut world, &Wild::Upstream(ANSWER.into()), &cuts);
        let (mut up, mut down) = (HELLO.as_bytes().to_vec(), ANSWER.as_bytes().to_vec());
        for (of_client, octets) in pieces {
            let event = if of_client { Wild::Client(octets.clone()) } else { Wild::Upstream(octets.clone()) };
            if of_client { up.extend(octets) } else { down.extend(octets) }
            play(&mut world, &event, &cuts);
        }
        let order = if client_first { [Leg::Client, Leg::Upstream] } else { [Leg::Upstream, Leg::Client] };
        order.into_iter().for_each(|leg| world.input(leg, Input::Fin));
        check_end(&mut world)?;
        prop_assert_eq!(octets(&world.upstream_out), up.clone());
        prop_assert_eq!(octets(&world.client_out), down.clone());
        let Some(Record::Session(session)) = world.records.last() else { return Err(TestCaseError::fail("no session record")) };
        let spliced = session.upstream.spliced.as_ref().expect("what was passed");
        prop_assert_eq!((spliced.client_octets, spliced.upstream_octets), (up.len() as u64, down.len() as u64));
    }

    #[test]
    fn no_policy_breaks_a_session(options in any_options(), events in vec(wild_event(), 1..60), cuts in vec(1usize..40, 1..6)) {
        let mut world = world_of(&options);
        for event in &events {
            play(&mut world, event, &cuts);
            check_bounds(&world, 40)?;
        }
        hang_up(&mut world);
        check_end(&mut world)?;
        prop_assert!(conversation::secrets::found("tanstaaf", &world.records).is_empty());
    }

    #[test]
    fn cuts_change_nothing(events in vec(wild_event(), 1..30), cuts in vec(1usize..40, 1..6)) {
        let (mut whole, mut cut) = (world(), world());
        for event in &events {
            play(&mut whole, event, &[usize::MAX]);
            // A reply cut in two may meet a command that waited: another story. So only the client's octets are cut.
            play(&mut cut, event, if matches!(event, Wild::Client(_)) { &cuts } else { &[usize::MAX] });
            let (before, now) = (std::mem::take(&mut whole.client_out), std::mem::take(&mut cut.client_out));
            prop_assert!(same(&before, &now), "client, after {:?}:\n{:?}\n{:?}", event, before, now);
            let (before, now) = (std::mem::take(&mut whole.upstream_out), std::mem::take(&mut cut.upstream_out));
            prop_assert!(same(&before, &now), "upstream, after {:?}:\n{:?}\n{:?}", event, before, now);
        }
        hang_up(&mut whole);
        hang_up(&mut cut);
        prop_assert_eq!(&whole.records, &cut.records);
    }

    #[test]
    fn nobody_hears_of_an_acceptance_that_was_none(
        steps in vec((sane_step(), any::<bool>()), 1..24),
        choices in vec(0u8..40, 1..24),
        cuts in vec(1usize..60, 1..6),
        store in vec(proptest::bool::weighted(0.9), 1..6),
        defer in any::<bool>(),
    ) {
        let policy = if defer { OnStoreFailure::Defer } else { OnStoreFailure::Pass };
        let options = SessionOptions { on_store_failure: policy, ..options() };
        let mut world = World::new(Arc::new(options), IpAddr::from([127, 0, 0, 1]), ByHand { connect: false, ..BY_HAND });
        world.start();
        let mut store = store.iter().cycle();
        let (mut client, mut host) = (Client::default(), SmartHost::default());
        let mut choices = choices.iter().cycle();
        let mut said: Vec<u8> = Vec::new();
        let mut refused = false;
        let mut went: Vec<u8> = Vec::new();
        macro_rules! exchange {
            () => {
                loop {
                    let up = octets(&std::mem::take(&mut world.upstream_out));
                    let down = octets(&std::mem::take(&mut world.client_out));
                    refused |= down.windows(11).any(|window| window == b"relayscope:");
                    client.hear(&down);
                    went.extend_from_slice(&up);
                    let answers = host.take(&up, |question| {
                        let choice = *choices.next().expect("a choice");
                        match (question, choice) {
                            (_, 0) => "421 bye\r\n",
                            (Question::Data, 1..=2) => "450 later\r\n",
                            (Question::Data, _) => "354 go ahead\r\n",
                            (_, 1..=3) => "550 never\r\n",
                            (_, 4..=6) => "450 later\r\n",
                            _ => "250 ok\r\n",
                        }
                        .to_owned()
                    });
                    if up.is_empty() && down.is_empty() && answers.is_empty() {
                        if !world.waits_for_store() {
                            break;
                        }
                        world.answer(*store.next().expect("an answer"));
                    }
                    play(&mut world, &Wild::Upstream(answers), &cuts);
                }
            };
        }
        macro_rules! say {
            ($octets:expr) => {{
                let octets: Vec<u8> = $octets;
                said.extend_from_slice(&octets);
                play(&mut world, &Wild::Client(octets), &cuts);
            }};
        }
        play(&mut world, &Wild::Upstream(b"220 mx.example ESMTP\r\n".to_vec()), &cuts);
        let greeting = octets(&std::mem::take(&mut world.client_out));
        prop_assert_eq!(greeting, b"220 mx.example ESMTP\r\n".to_vec());
        client.asked.push_back(Asked::Command);
        say!(b"EHLO client.example\r\n".to_vec());
        exchange!();
        let mut chunks = Vec::new();
        for (step, waits) in steps {
            match step {
                Sane::Command(line) => {
                    refused |= line.starts_with("XCLIENT"); // even if a 421 comes before its refusal is heard
                    client.asked.push_back(Asked::Command);
                    say!(format!("{line}\r\n").into_bytes());
                }
                Sane::Message(body) => {
                    client.asked.push_back(Asked::Data);
                    say!(b"DATA\r\n".to_vec());
                    exchange!();
                    if client.may_send_body && !client.over {
                        client.asked.push_back(Asked::Message(client.messages.len()));
                        client.messages.push((body.clone(), false));
                        say!([&body[..], b".\r\n"].concat());
                    }
                    client.may_send_body = false;
                }
                Sane::Chunk(octets, last) => {
                    let word = if last { " LAST" } else { "" };
                    chunks.extend_from_slice(&octets);
                    client.asked.push_back(if last { Asked::Message(client.messages.len()) } else { Asked::Command });
                    if last {
                        client.messages.push((std::mem::take(&mut chunks), false));
                    }
                    say!([format!("BDAT {}{word}\r\n", octets.len()).as_bytes(), &octets].concat());
                }
                Sane::Hang => {
                    // The client goes in the middle of a message; whatever the smart host does, it can't have it whole.
                    exchange!();
                    let before = host.messages.len();
                    client.asked.push_back(Asked::Data);
                    say!(b"DATA\r\n".to_vec());
                    exchange!();
                    if client.may_send_body && !client.over {
                        say!(b"half a message\r\n.\r".to_vec());
                        world.input(Leg::Client, Input::Reset);
                        exchange!();
                        prop_assert_eq!(host.messages.len(), before, "a part was taken for the whole");
                    }
                    break;
                }
            }
            if waits {
                exchange!();
            }
            if client.over {
                break;
            }
        }
        exchange!();
        world.input(Leg::Client, Input::Reset);
        exchange!();
        hang_up(&mut world);
        check_end(&mut world)?;

        // Each message that the client was told is accepted was accepted, as it was, in that order.
        let mut taken = host.messages.iter();
        for (message, heard) in &client.messages {
            if *heard {
                prop_assert!(taken.any(|(it, accepted)| *accepted && it == message), "250 for a message that was not accepted");
            }
        }
        // Each message that the smart host got is one that the client had ended.
        let mut sent = client.messages.iter();
        for (message, _) in &host.messages {
            prop_assert!(sent.any(|(it, _)| it == message), "the smart host has a message that the client didn't send");
        }
        if refused {
            prop_assert!(is_subsequence(&went, &said));
        } else {
            prop_assert!(said.starts_with(&went), "what left isn't what came:\n{}\n{}", escape(&said), escape(&went));
        }
        let ends = |record: &&Record| matches!(record, Record::Transaction(it) if it.phases.end_of_data_us.is_some());
        let told = client.messages.iter().filter(|(_, heard)| *heard).count();
        prop_assert!(world.records.iter().filter(ends).count() >= told, "a 250 without a record");
    }
}
