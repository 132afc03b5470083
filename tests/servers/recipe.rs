//! What the recipes in `deploy/` say, word for word: their fenced blocks, with the addresses of this run in the place of the examples.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use super::server::Sending;
use crate::support::process::run;
use crate::support::relayscope::command;

/// Where Relayscope listens in every recipe.
const RELAYSCOPE: &str = "127.0.0.1";
const PORT: &str = "2525";

/// The smart host in every recipe's bypass.
const SMART_HOST: &str = "smtp.example.net";
const SUBMISSION: &str = "587";

pub struct Recipe {
    text: String,
    name: String,
    bypass: Option<SocketAddr>,
    /// What `relayscope config init` says for the same addresses.
    printed: String,
}

impl Recipe {
    /// As the server is asked to be set up.
    pub fn wanted(server: &str, wanted: &Sending<'_>) -> Self {
        let smart_host = wanted.bypass.map_or_else(|| "192.0.2.1:25".to_owned(), |it| it.to_string());
        let file = wanted.place.path(&format!("{}.toml", wanted.name));
        let (listen, file) = (wanted.relay.to_string(), file.display().to_string());
        let arguments = ["config", "init", "--server", server, "--smart-host", &smart_host, "--listen", &listen, "--output", &file];
        let (code, printed) = run(&mut command(wanted.place, &arguments));
        assert_eq!(code, 0, "{printed}");
        Self { bypass: wanted.bypass, ..Self::of(server, wanted.relay, printed) }
    }

    fn of(server: &str, relayscope: SocketAddr, printed: String) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(format!("{server}.md"));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let text = text.replace(PORT, &relayscope.port().to_string()).replace(RELAYSCOPE, &relayscope.ip().to_string());
        Self { text, name: server.to_owned(), bypass: None, printed }
    }

    /// The block that begins with ```` ```LABEL ````. With the bypass, its lines stand in the place of those they are most like.
    #[track_caller]
    pub fn block(&self, label: &str) -> String {
        let found = |label: &str| self.find(label).unwrap_or_else(|| panic!("deploy/{}.md has no block `{label}`", self.name));
        let mut lines: Vec<String> = found(label).lines().map(str::to_owned).collect();
        // What is run is what `config init` says; how to part domains stands in the page alone.
        if !label.ends_with(" mx") {
            self.is_printed(&lines);
        }
        let Some(smart_host) = self.bypass else { return joined(&lines) };
        let mut bypass = Vec::new();
        for line in found(&format!("{} bypass", self.name)).lines() {
            // Courier wants brackets around an address.
            let host = if line.starts_with(':') { format!("[{}]", smart_host.ip()) } else { smart_host.ip().to_string() };
            let line = line.replace(SMART_HOST, &host).replace(SUBMISSION, &smart_host.port().to_string());
            bypass.push(line.clone());
            // "define(`SMART_HOST'", "  port ", "postconf -e 'relayhost ", ":"
            let end = if line.starts_with(':') { None } else { line.find([',', '=']) };
            let key = &line[..end.unwrap_or(1)];
            lines.iter_mut().filter(|it| it.starts_with(key)).for_each(|it| it.clone_from(&line));
        }
        self.is_printed(&bypass);
        joined(&lines)
    }

    /// Each line of a block, indented as a block is.
    #[track_caller]
    fn is_printed(&self, lines: &[String]) {
        for line in lines.iter().filter(|line| !line.trim().is_empty()) {
            let said = self.printed.lines().any(|it| it.starts_with("    ") && it.trim_end().ends_with(line.trim_end()));
            assert!(said, "`config init --server {}` doesn't say {line:?}:\n{}", self.name, self.printed);
        }
    }

    fn find(&self, label: &str) -> Option<String> {
        let mut lines = self.text.lines().skip_while(|line| line.trim() != format!("```{label}"));
        let opening = lines.next()?;
        let indent = opening.len() - opening.trim_start().len();
        let block = lines.take_while(|line| line.trim() != "```").map(|line| format!("{}\n", line.get(indent..).unwrap_or_default()));
        Some(block.collect())
    }

    /// The settings of `postconf -e 'NAME = VALUE'` in a block.
    pub fn postconf(&self, label: &str) -> String {
        let settings = self.block(label);
        let settings = settings.lines().filter_map(|line| line.strip_prefix("postconf -e '")?.strip_suffix('\''));
        settings.map(|setting| format!("{setting}\n")).collect()
    }
}

fn joined(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}
