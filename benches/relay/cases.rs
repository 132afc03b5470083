//! The cases: what is sent through a peer, and what is read off it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Serialize;

use super::catching::Catching;
use super::load::Measured;
use super::options::{LoadOptions, Options};
use super::peers::{Peer, Recipe};
use super::process::{Process, Usage};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
pub enum Case {
    /// 4 KiB, 50 sessions, a connection for each message.
    #[value(name = "connections", alias = "a")]
    Connections,
    /// 4 KiB, 50 sessions, connections reused.
    #[value(name = "reused", alias = "b")]
    Reused,
    /// 100 KiB, 50 sessions, connections reused.
    #[value(name = "medium", alias = "c")]
    Medium,
    /// 10 MiB, 4 sessions, connections reused.
    #[value(name = "large", alias = "d")]
    Large,
    /// One 4 KiB message at a time on an open connection, with nothing else going on, and beside other traffic.
    #[value(name = "latency", alias = "l")]
    Latency,
    /// What idle sessions hold, and what a 50 MB message adds.
    #[value(name = "memory", alias = "m")]
    Memory,
    /// As `latency` beside other traffic, while an export sends all that a full store holds.
    #[value(name = "catching-up", alias = "u")]
    CatchingUp,
}

impl Case {
    /// Unless said otherwise: the last one is for itself.
    pub const ALL: [Self; 6] = [Self::Connections, Self::Reused, Self::Medium, Self::Large, Self::Latency, Self::Memory];

    pub fn title(self) -> &'static str {
        match self {
            Self::Connections => "4 KiB, 50 sessions, a connection for each message",
            Self::Reused => "4 KiB, 50 sessions, connections reused",
            Self::Medium => "100 KiB, 50 sessions, connections reused",
            Self::Large => "10 MiB, 4 sessions, connections reused",
            Self::Latency => "latency of one 4 KiB message on an open connection",
            Self::Memory => "memory",
            Self::CatchingUp => "latency of one 4 KiB message beside other traffic, while an export catches up with a full store",
        }
    }

    /// Messages a second and CPU, both against haproxy, that Relayscope is held to: written, synced.
    pub fn goals(self) -> Option<[(f64, f64); 2]> {
        match self {
            Self::Connections => Some([(0.88, 1.4), (0.85, 1.5)]),
            Self::Reused => Some([(0.88, 1.4), (0.75, 1.5)]),
            Self::Medium => Some([(0.92, 1.2); 2]),
            Self::Large => Some([(0.92, 1.0); 2]),
            Self::Latency | Self::Memory | Self::CatchingUp => None,
        }
    }

    /// Peers that keep running distort memory figures; this case starts its own.
    pub fn wants_fresh_peers(self) -> bool {
        self == Self::Memory
    }
}

/// Figures of one run, by name.
pub type Figures = BTreeMap<&'static str, f64>;

/// Sends through a running peer, and measures.
pub fn run(case: Case, peer: &Peer, options: &Options) -> Result<Figures> {
    let load = LoadOptions {
        address: peer.address,
        proxy_header: peer.proxy_header,
        size: 4_096,
        sessions: 50,
        reuse: true,
        seconds: options.seconds,
        messages: 0,
        rate: 0.0,
        pipelining: options.pipelining,
        warm_up: 1,
    };
    match case {
        Case::Connections => throughput(peer, LoadOptions { reuse: false, ..load }),
        Case::Reused => throughput(peer, load),
        Case::Medium => throughput(peer, LoadOptions { size: 100 << 10, ..load }),
        Case::Large => throughput(peer, LoadOptions { size: 10 << 20, sessions: 4, ..load }),
        Case::Latency => latency(load, options.background),
        Case::CatchingUp => catching_up(peer, load, options),
        Case::Memory => bail!("the memory case needs peers of its own"),
    }
}

/// The load generator at work.
struct Load {
    process: Process,
}

impl Load {
    /// Returns when all sessions are open and have sent their warm-up.
    fn ready(options: &LoadOptions) -> Result<Self> {
        let arguments: Vec<String> = std::iter::once("load".to_owned()).chain(options.flags()).collect();
        let mut process = Process::role(&arguments)?;
        match process.line()?.as_str() {
            "READY" => Ok(Self { process }),
            line => bail!("{}", Measured::parse(line)?.error.unwrap_or_default()),
        }
    }

    fn go(&mut self) -> Result<()> {
        self.process.say("GO")
    }

    fn measured(&mut self) -> Result<Measured> {
        let measured = Measured::parse(&self.process.line()?)?;
        match &measured.error {
            Some(error) => bail!("{error}"),
            None if measured.messages == 0 => bail!("no message came through"),
            None => Ok(measured),
        }
    }
}

fn throughput(peer: &Peer, options: LoadOptions) -> Result<Figures> {
    let mut load = Load::ready(&options)?;
    let usage = |pid: Option<u32>| pid.map(Usage::of).unwrap_or_default();
    if let Some(pid) = peer.pid() {
        Usage::forget_peak(pid);
    }
    let (before, ends_before, stored) = (usage(peer.pid()), Usage::of(load.process.pid()), peer.stored());
    load.go()?;
    let measured = load.measured()?;
    let (after, ends_after) = (usage(peer.pid()), Usage::of(load.process.pid()));
    let thousands = measured.messages as f64 / 1_000.0;
    let milliseconds = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1e6 / thousands;
    let mut figures = Figures::from([
        ("messages_per_s", measured.rate()),
        ("mib_per_s", measured.octets as f64 / measured.wall_s / 1_048_576.0),
        ("p50_us", measured.p50_us),
        ("p99_us", measured.p99_us),
        ("load_cpu_ms_per_1000", milliseconds(ends_before.cpu_ns, ends_after.cpu_ns)),
    ]);
    if peer.pid().is_some() {
        let (user, system) = (after.user_ticks - before.user_ticks, after.system_ticks - before.system_ticks);
        figures.insert("cpu_ms_per_1000", milliseconds(before.cpu_ns, after.cpu_ns));
        figures.insert("user_percent", 100.0 * user as f64 / (user + system).max(1) as f64);
        figures.insert("peak_mib", after.peak_resident_kib as f64 / 1_024.0);
        figures.insert("stored_octets_per_message", peer.stored().saturating_sub(stored) as f64 / measured.messages as f64);
    }
    Ok(figures)
}

fn latency(load: LoadOptions, background: f64) -> Result<Figures> {
    let alone = LoadOptions { sessions: 1, warm_up: 20, ..load.clone() };
    let mut probe = Load::ready(&alone)?;
    probe.go()?;
    let unloaded = probe.measured()?;
    drop(probe);
    let (loaded, kept) = beside_others(load, background)?;
    Ok(Figures::from([
        ("unloaded_p50_us", unloaded.p50_us),
        ("unloaded_p99_us", unloaded.p99_us),
        ("loaded_p50_us", loaded.p50_us),
        ("loaded_p99_us", loaded.p99_us),
        ("background_per_s", kept),
    ]))
}

/// One message after the other while so many others a second pass, and how many these were in the end.
fn beside_others(load: LoadOptions, background: f64) -> Result<(Measured, f64)> {
    let alone = LoadOptions { sessions: 1, warm_up: 20, ..load.clone() };
    let mut others = Load::ready(&LoadOptions { sessions: 20, rate: background, seconds: load.seconds + 0.4, ..load })?;
    let mut probe = Load::ready(&alone)?;
    others.go()?;
    std::thread::sleep(std::time::Duration::from_millis(200)); // until the others are at their rate
    probe.go()?;
    let loaded = probe.measured()?;
    let kept = others.measured()?.rate();
    Ok((loaded, kept))
}

fn catching_up(peer: &Peer, load: LoadOptions, options: &Options) -> Result<Figures> {
    let before = peer.catching.as_ref().map(Catching::begin_anew).transpose()?;
    let began = std::time::Instant::now();
    let (loaded, kept) = beside_others(load, options.background)?;
    let mut figures = Figures::from([("loaded_p50_us", loaded.p50_us), ("loaded_p99_us", loaded.p99_us), ("background_per_s", kept)]);
    if let (Some(before), Some(catching)) = (before, &peer.catching) {
        let (after, took) = (catching.progress()?, began.elapsed().as_secs_f64());
        // What passes meanwhile waits as well, but for a moment only.
        if after.backlog < options.stored / 20 {
            bail!(
                "the export had caught up before the end ({} records left): fill the store with more (--stored), or measure for less time (--seconds)",
                after.backlog
            );
        }
        figures.insert("exported_per_s", (after.sent - before.sent) as f64 / took);
        figures.insert("waiting", after.backlog as f64);
    }
    Ok(figures)
}

/// Starts the peer anew for each question: memory once used may stay with a process.
pub fn memory(recipe: &Recipe, sink: std::net::SocketAddr, options: &Options) -> Result<Figures> {
    let mut figures = Figures::new();
    for (name, warm_up) in [("idle_kib", 0), ("idle_after_message_kib", 1)] {
        let peer = recipe.start(sink, &options.dir)?;
        let Some(pid) = peer.pid() else { return Ok(figures) };
        let idle = LoadOptions { warm_up, sessions: options.idle_sessions, ..few(&peer, 0.0) };
        drop(Load::ready(&LoadOptions { warm_up: 5, sessions: 4, ..idle.clone() })?);
        settle();
        let before = Usage::of(pid);
        let load = Load::ready(&idle)?;
        settle();
        let after = Usage::of(pid);
        drop(load);
        figures.insert(name, (after.resident_kib as f64 - before.resident_kib as f64) / options.idle_sessions as f64);
        figures.insert("base_mib", before.resident_kib as f64 / 1_024.0);
    }
    let peer = recipe.start(sink, &options.dir)?;
    let pid = peer.pid().context("the peer has no process")?;
    drop(Load::ready(&LoadOptions { warm_up: 20, sessions: 4, ..few(&peer, 0.0) })?);
    settle();
    Usage::forget_peak(pid);
    let before = Usage::of(pid);
    let mut load = Load::ready(&LoadOptions { size: 50_000_000, messages: 1, warm_up: 0, ..few(&peer, 60.0) })?;
    load.go()?;
    load.measured()?;
    let after = Usage::of(pid);
    figures.insert("message_of_50_mb_adds_kib", after.peak_resident_kib.saturating_sub(before.resident_kib) as f64);
    Ok(figures)
}

fn few(peer: &Peer, seconds: f64) -> LoadOptions {
    LoadOptions {
        address: peer.address,
        proxy_header: peer.proxy_header,
        size: 4_096,
        sessions: 1,
        reuse: true,
        seconds,
        messages: 0,
        rate: 0.0,
        pipelining: false,
        warm_up: 1,
    }
}

/// Gives closings, sealings and the like time to be over; no figure depends on how long.
fn settle() {
    std::thread::sleep(std::time::Duration::from_millis(500));
}
