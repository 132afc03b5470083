//! What to try next, made from what was sent: commands that can be copied as they stand.

use std::fmt::Write;
use std::net::SocketAddr;

use super::script::{RECIPIENTS, SENDERS};
use super::traffic::Sent;

/// The text that `demo` ends with. `ask` are the flags that lead the query commands to the demo's traces ("--store DIR"); `goes_on`: its proxy
/// still takes mail when this is read.
pub fn next_steps(sent: &[Sent], listen: SocketAddr, ask: &str, goes_on: bool) -> String {
    let mut text = String::new();
    // Writing to a String doesn't fail.
    let _ = write_steps(&mut text, sent, listen, ask, goes_on);
    text
}

fn write_steps(text: &mut String, sent: &[Sent], listen: SocketAddr, ask: &str, goes_on: bool) -> std::fmt::Result {
    let ask = format!(" {ask}");
    writeln!(text, "{} sample messages went through {listen}. Where did each of them stop, and why?\n", sent.len())?;
    let commands: Vec<String> = sent.iter().map(|sent| format!("relayscope where {}{ask}", sent.question())).collect();
    let width = commands.iter().map(String::len).max().unwrap_or(0);
    for (sent, command) in sent.iter().zip(commands) {
        writeln!(text, "  {command:width$}  # {}", sent.shows)?;
    }
    writeln!(text, "\nBy what people know when they ask:\n")?;
    if let Some(some) = sent.iter().find(|sent| sent.to.len() > 1) {
        let last = some.to.last().copied().unwrap_or_default();
        writeln!(text, "  relayscope where {last}{ask}  # all that was sent to an address")?;
        writeln!(text, "  relayscope where {}{ask}  # the queue id in the sending server's log", some.client_queue_id)?;
        let words: Vec<&str> = some.subject.split(' ').take(2).collect();
        writeln!(text, "  relayscope where '{}'{ask}  # words of the subject", words.join(" "))?;
    }
    writeln!(text, "  relayscope where nobody@demo.example{ask}  # what never came through here")?;
    writeln!(text, "\nAnd what all of it looks like:\n")?;
    let asked = [("search state:deferred", "what waits for another attempt"), ("stats --by state,cause", "counts by outcome and cause")];
    for (what, why) in asked.into_iter().chain(goes_on.then_some(("tail", "what comes through from now on"))) {
        writeln!(text, "  relayscope {what}{ask}  # {why}")?;
    }
    if let Some(program) = std::env::args().next().filter(|program| program.contains('/')) {
        writeln!(text, "\n`relayscope` is {program} here.")?;
    }
    if !goes_on {
        return writeln!(text, "\nWithout --once the demo goes on, and takes mail of your own.");
    }
    writeln!(text, "\nSend mail of your own (what stands before the @ decides, any other address is accepted):\n")?;
    writeln!(text, "  swaks --server {listen} --from you@shop.example --to full@demo.example\n")?;
    for scripted in RECIPIENTS {
        writeln!(text, "  --to   {:20}  {}", format!("{}@demo.example", scripted.local_part), scripted.does)?;
    }
    for scripted in SENDERS {
        writeln!(text, "  --from {:20}  {}", format!("{}@shop.example", scripted.local_part), scripted.does)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::traffic::CameTo;
    use super::*;

    #[test]
    fn commands_carry_what_was_sent() {
        let sent = [Sent {
            shows: "partly rejected",
            message_id: "invoice-4711.1795428131@shop.example".into(),
            client_queue_id: "4F1A2BC001".into(),
            from: "accounts@shop.example",
            to: &["alice@demo.example", "full@demo.example"],
            subject: "Rechnung 4711 für November",
            attempts: 1,
            answer: "250 2.0.0 Ok".into(),
            came_to: CameTo::Text,
        }];
        let text = next_steps(&sent, SocketAddr::from(([127, 0, 0, 1], 2525)), "--store /tmp/demo", true);
        for wanted in [
            "1 sample messages went through 127.0.0.1:2525.",
            "relayscope where invoice-4711.1795428131@shop.example --store /tmp/demo  # partly rejected",
            "where full@demo.example",
            "where 4F1A2BC001",
            "where 'Rechnung 4711'",
            "swaks --server 127.0.0.1:2525",
            "--to   drop@demo.example",
            "--from busy@shop.example",
        ] {
            assert!(text.contains(wanted), "{wanted:?} is missing in:\n{text}");
        }
        // Nobody listens there any more.
        let text = next_steps(&sent, SocketAddr::from(([127, 0, 0, 1], 2525)), "--store /tmp/demo", false);
        assert!(!text.contains("swaks") && !text.contains("relayscope tail"), "{text}");
    }
}
