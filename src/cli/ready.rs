//! `relayscope ready`: whether a proxy takes mail now, for the health checks of containers and their like.

use anyhow::anyhow;
use clap::Args;

use super::Traces;
use super::backend;
use super::failure::{Failure, Status};
use super::screen::{Look, Screen, Style, show_json};
use crate::metrics::{Readiness, Reason};

#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 it does, 1 it doesn't, 2 usage, 3 no proxy answers.")]
pub struct Ready {
    #[command(flatten)]
    traces: Traces,
    /// Ask only whether the proxy answers and listens: neither hosts behind it nor a store that fails are a reason to end it
    #[arg(long)]
    alive: bool,
}

impl Ready {
    pub fn run(self) -> Result<Status, Failure> {
        let Some(client) = backend::api(&self.traces)? else {
            return Err(Failure::failed(anyhow!("{}: no proxy runs on this store", backend::store_dir(&self.traces)?.display())));
        };
        let said: Readiness =
            client.get_either("/readyz")?.ok_or_else(|| Failure::failed(anyhow!("what answers there takes no mail at all")))?;
        let holds = if self.alive { said.is_alive() } else { said.is_ready() };
        if self.traces.json {
            show_json(&said)?;
        } else {
            shown(&said, holds, self.alive, &Look::of_stdout(jiff::Timestamp::now())).show()?;
        }
        Ok(if holds { Status::Done } else { Status::NotFound })
    }
}

fn shown(said: &Readiness, holds: bool, alive: bool, look: &Look) -> Screen {
    let mut screen = Screen::new(look);
    let verdict = match (alive, holds) {
        (true, true) => "It answers and listens.",
        (true, false) => "It answers, and does not listen everywhere.",
        (false, true) => "It takes mail.",
        (false, false) => "It takes no mail.",
    };
    screen.styled(if holds { Style::Good } else { Style::Bad }, verdict).newline();
    let mut list = |head: &str, reasons: &[Reason]| {
        if !reasons.is_empty() {
            screen.newline().styled(Style::Bold, head).newline();
        }
        for reason in reasons {
            let name = reason.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
            screen.pad(2).line(&format!("{}{name}: {}", reason.what, reason.why));
        }
    };
    list("What keeps mail out", &said.reasons);
    list("What doesn't, and needs somebody", &said.degraded);
    screen
}
