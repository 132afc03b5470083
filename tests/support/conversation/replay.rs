//! Replays a script: as written, octet by octet, and cut at every place. TCP's cuts must not change what happens.

use std::fmt::Write as _;
use std::path::Path;

use relayscope::relay::Exhausted;
use relayscope::relay::options::ClientTls;
use relayscope::trace::{Actor, Record, Stage};

use super::facts;
use super::script::{self, Event, Script, Step};
use super::secrets;
use super::show::{diff, escape, without_ids};
use super::world::{Input, Sign, World, tls};

/// How the octets of the steps come in.
#[derive(Debug, Clone, Copy)]
enum Cuts {
    AsWritten,
    EveryOctet,
    Once { step: usize, at: usize },
}

/// What a replay led to: per step, what came out on each leg.
struct Outcome {
    steps: Vec<(Vec<Sign>, Vec<Sign>)>,
    records: Vec<Record>,
    violations: Vec<String>,
}

/// Octets of a step in which each place is cut; of longer ones only both ends.
const EACH: usize = 600;

/// Runs a script file; `Err` holds what to show.
pub fn run(path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let script = script::parse(&text).map_err(|error| format!("{name}: {error}"))?;
    let whole = replay(&script, Cuts::AsWritten);
    if std::env::var_os("WRITE_CONVERSATIONS").is_some() {
        std::fs::write(path, written(&text, &script, &whole)).map_err(|error| error.to_string())?;
        return Ok(());
    }
    check_whole(name, &script, &whole)?;
    if script.whole_only {
        return Ok(());
    }
    let mut cuts = vec![Cuts::EveryOctet];
    for (number, step) in script.steps.iter().enumerate() {
        if let Event::Octets(_, octets) = &step.event {
            let places = (1..octets.len()).filter(|at| octets.len() <= EACH || *at < EACH / 2 || *at + EACH / 2 > octets.len());
            cuts.extend(places.map(|at| Cuts::Once { step: number, at }));
        }
    }
    for cuts in cuts {
        check_cut(name, &script, &whole, &replay(&script, cuts), cuts)?;
    }
    Ok(())
}

fn replay(script: &Script, cuts: Cuts) -> Outcome {
    let mut world = World::new(script.options.clone(), script.client_ip, script.by_hand);
    let mut steps = Vec::new();
    for (number, step) in script.steps.iter().enumerate() {
        world.now += 1_000;
        play(&mut world, script, &step.event, number, cuts);
        steps.push((std::mem::take(&mut world.client_out), std::mem::take(&mut world.upstream_out)));
    }
    if world.machine.finished() && world.records.is_empty() {
        world.violations.push("the session has ended without any record".into());
    }
    if world.machine.finished() && world.machine.deadline().is_some() {
        world.violations.push("the session has ended and has a deadline".into());
    }
    Outcome { steps, records: world.records, violations: world.violations }
}

fn play(world: &mut World, script: &Script, event: &Event, number: usize, cuts: Cuts) {
    match event {
        Event::Start => match &script.refuse {
            Some((code, words)) => world.refuse_client(*code, words),
            None if script.options.listener.tls == ClientTls::Implicit => world.begin_with_tls(),
            None => world.start(),
        },
        Event::Octets(leg, octets) => {
            let pieces: Vec<&[u8]> = match cuts {
                Cuts::EveryOctet => octets.chunks(1).collect(),
                Cuts::Once { step, at } if step == number => vec![&octets[..at], &octets[at..]],
                _ => vec![octets],
            };
            pieces.into_iter().for_each(|piece| world.input(*leg, Input::Octets(piece.to_vec())));
        }
        Event::HostsFound(hosts) => world.hosts_found(hosts),
        Event::HostsNotFound { code, enhanced, error } => world.hosts_not_found(*code, *enhanced, error),
        Event::Connected { tls: agreed } => world.connected(agreed.map(tls)),
        Event::ConnectFails(error) => match error.strip_prefix("TLS ") {
            Some(_) => world.connect_failed(Stage::StartTls, Actor::Upstream, error),
            None => world.connect_failed(Stage::Connect, Actor::Network, error),
        },
        Event::ConnectLoops(error) => world.connect_loops(error),
        Event::Closes(leg) => world.input(*leg, Input::Fin),
        Event::Cuts(leg) => world.input(*leg, Input::Cut),
        Event::Resets(leg) => world.input(*leg, Input::Reset),
        Event::ClientLost => world.client_lost(),
        Event::TlsEstablished { leg, verified } => world.tls_established(*leg, tls(*verified)),
        Event::TlsFails(leg, error) => world.tls_failed(*leg, error, Some(tls(false))),
        Event::Passes(time) => world.pass(time.as_micros() as u64),
        Event::Stored(ok) => world.stored(*ok),
        Event::MarkStored(ok) => world.mark_stored(*ok),
        Event::StoreDown(down) => world.store_down(*down),
        Event::Exhausted { upstream, user, sender } => {
            world.quotas(vec![Exhausted { sender: sender.clone(), ..used_up(upstream, user.as_deref()) }])
        }
        Event::QuotasLifted => world.quotas(Vec::new()),
        Event::Drain => world.drain(),
        Event::ShutDown => world.shut_down(),
    }
}

fn used_up(upstream: &str, user: Option<&str>) -> Exhausted {
    let reason = "10,000 messages in 24 hours are used up until 15:40 UTC".to_owned();
    Exhausted { upstream: upstream.to_owned(), user: user.map(str::to_owned), sender: None, until: u64::MAX, reason }
}

fn check_whole(name: &str, script: &Script, whole: &Outcome) -> Result<(), String> {
    let mut dialogue = String::new();
    for (step, (client, upstream)) in script.steps.iter().zip(&whole.steps) {
        step.source.iter().for_each(|line| dialogue += &format!("    {line}\n"));
        let expected = [shown('C', &step.client), shown('S', &step.upstream)].concat();
        let came = [shown('C', client), shown('S', upstream)].concat();
        let _ = write!(dialogue, "{}", diff(&expected, &came));
        if expected != came {
            return Err(format!("{name}:{}: not what must come out (- expected, + came)\n{dialogue}", step.line));
        }
    }
    fail_if(whole.violations.clone(), name, &dialogue)?;
    let mut wrong = Vec::new();
    for (fact, record) in script.facts.iter().zip(&whole.records) {
        let found = fact.check(record);
        wrong.extend(found.into_iter().map(|what| format!("line {}: {what}\n      {}", fact.line, facts::line_of(record))));
    }
    for record in whole.records.iter().skip(script.facts.len()) {
        wrong.push(format!("a record that no = line tells of: {}", facts::line_of(record)));
    }
    for fact in script.facts.iter().skip(whole.records.len()) {
        wrong.push(format!("line {}: no such record", fact.line));
    }
    script.secrets.iter().for_each(|secret| wrong.extend(secrets::found(secret, &whole.records)));
    fail_if(wrong, name, &dialogue)
}

fn check_cut(name: &str, script: &Script, whole: &Outcome, cut: &Outcome, cuts: Cuts) -> Result<(), String> {
    let title = match cuts {
        Cuts::Once { step, at } => match script.steps.get(step).map(|step| (&step.event, step.line)) {
            Some((Event::Octets(leg, octets), line)) => {
                let (before, after) = octets.split_at(at);
                format!("{name}:{line}: cut in the {leg}'s octets: {} | {}", escape(before), escape(after))
            }
            _ => name.to_owned(),
        },
        _ => format!("{name}: octet by octet"),
    };
    for (step, (before, now)) in script.steps.iter().zip(whole.steps.iter().zip(&cut.steps)) {
        if !same(&before.0, &now.0) || !same(&before.1, &now.1) {
            let expected = [shown('C', &before.0), shown('S', &before.1)].concat();
            let came = [shown('C', &now.0), shown('S', &now.1)].concat();
            let said: String = step.source.iter().map(|line| format!("    {line}\n")).collect();
            return Err(format!("{title}\nline {}: (- without the cut, + with it)\n{said}{}", step.line, diff(&expected, &came)));
        }
    }
    fail_if(cut.violations.clone(), &title, "")?;
    if cut.records != whole.records {
        let lines = |records: &[Record]| -> Vec<String> {
            let all = records.iter().map(|record| format!("{}\n{record:#?}", facts::line_of(record))).collect::<String>();
            all.lines().map(str::to_owned).collect()
        };
        let changes = diff(&lines(&whole.records), &lines(&cut.records));
        let changes: String = changes.lines().filter(|line| !line.starts_with("    ")).map(|line| format!("{line}\n")).collect();
        return Err(format!("{title}\nthe records differ (- without the cut, + with it)\n{changes}"));
    }
    Ok(())
}

/// Of a message that the upstream never gets whole, more or less may have gone before the leg was dropped.
pub fn same(whole: &[Sign], cut: &[Sign]) -> bool {
    let octets = |signs: &[Sign]| -> Vec<u8> {
        let all = signs.iter().take_while(|sign| **sign != Sign::Dropped);
        all.filter_map(|sign| if let Sign::Octets(octets) = sign { Some(octets.as_slice()) } else { None }).collect::<Vec<_>>().concat()
    };
    if !whole.contains(&Sign::Dropped) || !cut.contains(&Sign::Dropped) {
        return whole == cut;
    }
    let (before, now) = (octets(whole), octets(cut));
    let tail = |signs: &[Sign]| signs.iter().skip_while(|sign| **sign != Sign::Dropped).cloned().collect::<Vec<_>>();
    (before.starts_with(&now) || now.starts_with(&before)) && tail(whole) == tail(cut)
}

fn fail_if(wrong: Vec<String>, title: &str, dialogue: &str) -> Result<(), String> {
    if wrong.is_empty() { Ok(()) } else { Err(format!("{title}\n{dialogue}  {}", wrong.join("\n  "))) }
}

/// The signs of a leg as script lines.
fn shown(leg: char, signs: &[Sign]) -> Vec<String> {
    let mut lines = Vec::new();
    for sign in signs {
        match sign {
            Sign::Octets(octets) => {
                let octets = without_ids(octets);
                lines.extend(octets.split_inclusive(|octet| *octet == b'\n').map(|line| format!(">{leg}: {}", short(&escape(line)))));
            }
            Sign::SideClosed => lines.push(format!(">{leg}! side closed")),
            Sign::Closed => lines.push(format!(">{leg}! closed")),
            Sign::Dropped => lines.push(format!(">{leg}! dropped")),
            Sign::Tls => lines.push(format!(">{leg}! tls")),
            Sign::Connect(host) => lines.push(format!(">{leg}! connect {host}")),
            Sign::HostFailed => lines.push(format!(">{leg}! host failed")),
            Sign::HostServes => lines.push(format!(">{leg}! host serves")),
            Sign::Find(domain) => lines.push(format!(">{leg}! find {domain}")),
        }
    }
    lines
}

/// Long runs of one character in the script's own notation.
fn short(text: &str) -> String {
    let mut made = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let run = rest.chars().take_while(|it| *it == first).count();
        if run > 60 && first != '\\' {
            let _ = write!(made, "\\{{{run}*{first}}}");
        } else {
            rest.chars().take(run).for_each(|it| made.push(it));
        }
        rest = &rest[run * first.len_utf8()..];
    }
    made
}

/// The script with what came out in the place of what was expected. Read it before you believe it.
fn written(text: &str, script: &Script, whole: &Outcome) -> String {
    let mut made = String::new();
    let steps: Vec<(&Step, _)> = script.steps.iter().zip(&whole.steps).collect();
    let insert = |made: &mut String, at: usize| {
        for (step, (client, upstream)) in steps.iter().filter(|(step, _)| step.last_line == at && !step.shorthand) {
            let _ = step;
            for line in [shown('C', client), shown('S', upstream)].concat() {
                let _ = writeln!(made, "{line}");
            }
        }
    };
    let starts = text.lines().position(|line| line.starts_with(['C', 'S', '*'])).unwrap_or(text.lines().count());
    for (at, line) in text.lines().enumerate() {
        if at == starts {
            insert(&mut made, 0);
        }
        if !line.starts_with('>') {
            let _ = writeln!(made, "{line}");
            insert(&mut made, at + 1);
        }
    }
    let mut made = made.trim_end().to_owned() + "\n";
    // Facts that stand there already were chosen by someone.
    whole.records.iter().filter(|_| script.facts.is_empty()).for_each(|record| made += &(facts::line_of(record) + "\n"));
    made
}
