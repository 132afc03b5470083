//! What to set at a mail server to have Relayscope in its mail's way, and to take it out again: the pages in `deploy/`, with this
//! machine's addresses in the place of the examples.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use clap::ValueEnum;

use crate::config::DEFAULT_PATHS;

/// Whose address nobody has told.
const THIS_MACHINE: &str = "THIS-MACHINE";

/// A line of the pages that is true of the default alone.
const LOCAL: &str = "Relayscope listens on loopback and relays for loopback only.";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MailServer {
    Postfix,
    Exchange,
    Exim,
    #[value(name = "opensmtpd")]
    OpenSmtpd,
    Sendmail,
    Courier,
    #[value(name = "hmailserver")]
    Hmail,
    Domino,
    James,
}

/// The way of the mail, as it will be.
#[derive(Debug)]
pub struct Ways<'a> {
    /// The configuration that was written.
    pub file: &'a Path,
    pub listen: SocketAddr,
    /// Where the mail server is, if it was said.
    pub allow: Option<&'a str>,
    /// Host and port.
    pub smart_host: &'a str,
    /// The mail server runs on another machine.
    pub is_elsewhere: bool,
}

impl MailServer {
    pub fn name(self) -> &'static str {
        match self {
            Self::Postfix => "Postfix",
            Self::Exchange => "Exchange",
            Self::Exim => "Exim",
            Self::OpenSmtpd => "OpenSMTPD",
            Self::Sendmail => "Sendmail",
            Self::Courier => "Courier",
            Self::Hmail => "hMailServer",
            Self::Domino => "Domino",
            Self::James => "James",
        }
    }

    /// It can't run where Relayscope does.
    pub fn is_for_windows(self) -> bool {
        matches!(self, Self::Exchange | Self::Hmail)
    }

    /// The page in `deploy/`.
    fn page(self) -> &'static str {
        match self {
            Self::Postfix => include_str!("../../deploy/postfix.md"),
            Self::Exchange => include_str!("../../deploy/exchange.md"),
            Self::Exim => include_str!("../../deploy/exim.md"),
            Self::OpenSmtpd => include_str!("../../deploy/opensmtpd.md"),
            Self::Sendmail => include_str!("../../deploy/sendmail.md"),
            Self::Courier => include_str!("../../deploy/courier.md"),
            Self::Hmail => include_str!("../../deploy/hmailserver.md"),
            Self::Domino => include_str!("../../deploy/domino.md"),
            Self::James => include_str!("../../deploy/james.md"),
        }
    }

    /// What to do now, and how to undo it.
    pub fn recipe(self, ways: &Ways<'_>) -> String {
        let name = self.name();
        let mut text = format!("{name}  -->  Relayscope, {}  -->  {}\n{}\n", ways.listen, ways.smart_host, ways.written());
        let page = self.page();
        if page.contains("not tested here") {
            let _ = writeln!(text, "What follows is written from {name}'s documentation, and has not been tried with it.");
        }
        let (inwards, out) = (section(page, "## In"), section(page, "## Out: the bypass"));
        let mut steps = after_first_step(inwards).to_owned();
        if !ways.listen.ip().is_loopback() {
            steps = steps.replace(LOCAL, "");
        }
        let _ = writeln!(text, "\nInto the way\n\n{}\n{}", ways.first_step(name), ways.filled_in(&plain(&steps)));
        let _ = writeln!(text, "\nOut of the way: the bypass\n\n{}", ways.filled_in(&plain(out)));
        if text.contains(THIS_MACHINE) {
            let _ = writeln!(text, "\n{THIS_MACHINE} is this machine's name or address, as {name} reaches it.");
        }
        text
    }
}

impl Ways<'_> {
    /// For a mail server without a page.
    pub fn without_a_server(&self) -> String {
        format!(
            "Relayscope, {}  -->  {}\n{}\n\n{}\n2. Have your mail server use it as its smart host (--server NAME says how).\n\nThe bypass: have it use \
             {} again.",
            self.listen,
            self.smart_host,
            self.written(),
            self.first_step("your mail server"),
            self.smart_host
        )
    }

    fn written(&self) -> String {
        format!("{} is written, with every other option explained in it.", self.file.display())
    }

    fn first_step(&self, server: &str) -> String {
        let file = self.file.display();
        let mut step = String::new();
        if self.is_elsewhere && self.allow.is_none() {
            let _ = writeln!(step, "0. Name {server}'s address under `allow` in {file} (or start over with --allow ADDRESS):");
            let _ = writeln!(step, "   until then nobody but this machine may send.\n");
        }
        let is_packaged = self.file == Path::new(DEFAULT_PATHS[1]);
        let start = if is_packaged { "systemctl start relayscope".to_owned() } else { format!("relayscope run --config {file}") };
        let _ = writeln!(step, "1. Start Relayscope: {start}");
        let _ = writeln!(step, "   Then see what it meets at {}: relayscope doctor upstream --config {file}", self.smart_host);
        if !self.smart_host.ends_with(":465") {
            let _ = writeln!(step, "   If its certificate is verified there, set tls = \"required\" under [[upstream]].");
        }
        step
    }

    /// The addresses of the examples, replaced.
    fn filled_in(&self, text: &str) -> String {
        let ip = match self.listen.ip() {
            ip if !ip.is_unspecified() => ip.to_string(),
            _ if self.is_elsewhere => THIS_MACHINE.to_owned(),
            _ => "127.0.0.1".to_owned(),
        };
        let port = self.listen.port().to_string();
        let both = if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") };
        let (host, submission) = self.smart_host.rsplit_once(':').unwrap_or((self.smart_host, "25"));
        let host = host.trim_start_matches('[').trim_end_matches(']');
        // Courier wants brackets around an address.
        let route = if host.parse::<IpAddr>().is_ok() { format!(":[{host}],") } else { format!(":{host},") };
        let large = host.to_ascii_uppercase();
        let routed =
            |host: &str| format!("route_list = * {} byname", if host.contains(':') { format!("\"<+ {host}\"") } else { host.to_owned() });
        let tried = |host: &str| format!("hosts_try_auth = {}{host}", if host.contains(':') { "<; " } else { "" });
        let (in_route, out_route, in_login, out_login) = (routed(&ip), routed(host), tried(&ip), tried(host));
        let examples = [
            // Exim's lists are parted by colons unless they say otherwise.
            ("route_list = * 127.0.0.1 byname", in_route.as_str()),
            ("route_list = * smtp.example.net byname", &out_route),
            ("hosts_try_auth = 127.0.0.1", &in_login),
            ("hosts_try_auth = smtp.example.net", &out_login),
            ("127.0.0.1:2525", &both),
            ("127.0.0.1", &ip),
            ("192.0.2.25", &ip),
            ("2525", &port),
            (":smtp.example.net,", &route),
            ("smtp.example.net", host),
            ("SMTP.EXAMPLE.NET", &large),
            ("587", submission),
        ];
        replaced(text, &examples)
    }
}

/// Each example replaced in one go: what was put in is not looked at again. Of several that begin at one place, the first counts.
fn replaced(text: &str, examples: &[(&str, &str)]) -> String {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some((rest_then, with)) = examples.iter().find_map(|(from, to)| Some((rest.strip_prefix(from)?, to))) {
            done.push_str(with);
            rest = rest_then;
        } else {
            done.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    done
}

/// What stands under a heading, up to the next one of its kind.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let Some((_, rest)) = page.split_once(&format!("\n{heading}\n")) else { return "" };
    rest.split("\n## ").next().unwrap_or(rest).trim_matches('\n')
}

/// The first step is Relayscope's own, and told otherwise.
fn after_first_step(section: &str) -> &str {
    section.find("\n2. ").and_then(|at| section.get(at + 1..)).unwrap_or(section)
}

/// For a terminal: blocks of settings indented, emphasis and links without their marks.
fn plain(markdown: &str) -> String {
    let mut in_block = false;
    let mut lines = String::new();
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            let _ = writeln!(lines, "    {line}");
        } else {
            let _ = writeln!(lines, "{}", unlinked(&line.replace("**", "")));
        }
    }
    lines.trim_end().to_owned()
}

/// `[text](address)` becomes `text`.
fn unlinked(line: &str) -> String {
    let Some((before, rest)) = line.split_once("](") else { return line.to_owned() };
    let (Some((start, text)), Some((_, after))) = (before.rsplit_once('['), rest.split_once(')')) else { return line.to_owned() };
    format!("{start}{text}{}", unlinked(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(listen: &str, allow: Option<&'static str>) -> Ways<'static> {
        Ways {
            file: Path::new("/etc/relayscope/relayscope.toml"),
            listen: listen.parse().unwrap(),
            allow,
            smart_host: "out.relay.example:2587",
            is_elsewhere: allow.is_some(),
        }
    }

    #[test]
    fn every_server_has_a_way_in_and_a_way_out() {
        for server in MailServer::value_variants() {
            let text = server.recipe(&ways("127.0.0.1:5252", None));
            let (inwards, out) = text.split_once("Out of the way: the bypass").unwrap();
            assert!(inwards.contains("5252") || *server == MailServer::Exchange, "{text}");
            assert!(inwards.contains("\n2. "), "{text}");
            assert_eq!(inwards.matches("\n1. ").count(), 1, "{text}");
            assert!(out.contains("out.relay.example") || *server == MailServer::Exchange, "{text}");
            assert!(out.contains("relayscope tail"), "it says how to see that it is out: {text}");
            for example in ["example.net", "2525", "192.0.2.", "```", "**"] {
                assert!(!text.contains(example), "{example} in {text}");
            }
        }
    }

    #[test]
    fn another_machine_is_named() {
        let text = MailServer::Exchange.recipe(&ways("0.0.0.0:2525", Some("198.51.100.7")));
        assert!(text.contains("-SmartHosts \"THIS-MACHINE\""), "{text}");
        let text = MailServer::Exchange.recipe(&ways("198.51.100.25:2525", Some("198.51.100.7")));
        assert!(text.contains("-SmartHosts \"198.51.100.25\""), "{text}");
    }

    #[test]
    fn exim_gets_another_separator_for_an_address_with_colons() {
        let text = MailServer::Exim.recipe(&ways("[2001:db8::7]:2525", Some("2001:db8::9")));
        for line in
            ["route_list = * \"<+ 2001:db8::7\" byname\n", "hosts_try_auth = <; 2001:db8::7\n", "route_list = * out.relay.example byname"]
        {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn replacements_are_not_replaced() {
        assert_eq!(replaced("a b ab", &[("ab", "b"), ("a", "b"), ("b", "a")]), "b a b");
        assert_eq!(replaced("é2525ü", &[("2525", "25")]), "é25ü");
    }

    #[test]
    fn links_lose_their_address() {
        assert_eq!(unlinked("see [a](b.md) and [c](d.md)."), "see a and c.");
        assert_eq!(unlinked("[127.0.0.1]:2525 (x)"), "[127.0.0.1]:2525 (x)");
    }
}
