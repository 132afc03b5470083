//! Interleaved measurement of SMTP relays on loopback; README.md in the folder above tells how to read it.

mod cases;
mod catching;
mod drain;
#[path = "../filled.rs"]
mod filled;
mod load;
mod message;
mod options;
mod peers;
mod process;
mod report;
mod sink;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;
use relayscope::trace; // by this name the samples of records know it

use cases::Case;
use catching::Stored;
use options::{Options, Role};
use peers::{Peer, Recipe};
use process::Process;
use report::{Report, Run};

fn main() -> Result<()> {
    let options = Options::parse();
    match options.role {
        Some(Role::Sink) => sink::run(),
        Some(Role::Drain { certificate }) => drain::run(&certificate),
        Some(Role::Load(load)) => load::run(load),
        None => measure(&options),
    }
}

fn measure(options: &Options) -> Result<()> {
    process::clean_up_when_interrupted()?;
    let mut sink = Process::role(&["sink".to_owned()])?;
    let sink_address = SocketAddr::from((Ipv4Addr::LOCALHOST, sink.line()?.parse().context("the sink gave no port")?));
    let (recipes, left_out) = Recipe::all(&options.also, &options.peers)?;
    for reason in &left_out {
        println!("left out: {reason}");
    }
    let list = |recipes: &[Recipe]| recipes.iter().map(|recipe| recipe.name.clone()).collect::<Vec<String>>();
    println!("peers: {}; {} rounds of {} s", list(&recipes).join(", "), options.rounds, options.seconds);
    let (mut runs, ordinary) = (Vec::new(), recipes);
    for &case in &options.cases {
        let recipes = match case {
            Case::CatchingUp => Recipe::of_full_stores(&Arc::new(Stored::fill(&options.dir, options.stored)?)),
            _ => ordinary.clone(),
        };
        let names = list(&recipes);
        let first = runs.len();
        let peers = if case.wants_fresh_peers() { Vec::new() } else { start_all(&recipes, sink_address, options) };
        for round in 0..options.rounds {
            // Each round begins with another peer, so that no one always follows the same.
            for at in 0..recipes.len() {
                let at = (at + round) % recipes.len();
                let figures = match (&recipes.get(at), peers.get(at)) {
                    (Some(recipe), None) => cases::memory(recipe, sink_address, options),
                    (_, Some(Ok(peer))) => cases::run(case, peer, options),
                    (_, Some(Err(error))) => Err(anyhow::anyhow!("{error:#}")),
                    (None, None) => continue,
                };
                let peer = names.get(at).cloned().unwrap_or_default();
                let (figures, error) =
                    figures.map_or_else(|error| (Default::default(), Some(format!("{error:#}"))), |figures| (figures, None));
                runs.push(Run { case, peer, round, figures, error });
            }
        }
        let report = Report { case, runs: runs.iter().skip(first).collect(), peers: &names };
        report.print();
    }
    sink.say("")?;
    println!("\nThe sink took {} (messages, octets).", sink.line()?);
    if let Some(path) = &options.json {
        let all = serde_json::json!({ "runs": runs, "left_out": left_out, "arguments": std::env::args().skip(1).collect::<Vec<_>>() });
        std::fs::write(path, serde_json::to_string_pretty(&all)?).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Peers for one case. One that doesn't start is reported in its row; the others are measured without it.
fn start_all(recipes: &[Recipe], sink: SocketAddr, options: &Options) -> Vec<Result<Peer>> {
    recipes.iter().map(|recipe| recipe.start(sink, &options.dir)).collect()
}
