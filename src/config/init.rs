//! The file with every option explained, as it is shipped or filled in for a first start, and how to write it out.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// `config/relayscope.toml` as it is shipped.
pub const TEMPLATE: &str = include_str!("../../config/relayscope.toml");

/// What a configuration needs to be told before mail can flow.
#[derive(Debug, Clone)]
pub struct First<'a> {
    /// Whose mail it is for; for the reader of the file.
    pub server: &'a str,
    /// Address and port for the mail server to connect to.
    pub listen: &'a str,
    /// Where the mail server is, if not on this machine.
    pub allow: Option<&'a str>,
    /// Host and port.
    pub smart_host: &'a str,
}

impl First<'_> {
    /// The template with that much filled in; all other options stand there as they were.
    pub fn text(&self) -> String {
        let mut filled = vec![
            ("#listen = [\"127.0.0.1:2525\"]", format!("listen = [{}]", quoted(self.listen))),
            ("#[[upstream]]", "[[upstream]]".to_owned()),
            ("#hosts = [\"smtp.example.net:587\", \"backup.example.net:587\"]", format!("hosts = [{}]", quoted(self.smart_host))),
        ];
        // The machine itself is allowed anyway.
        if let Some(allow) = self.allow.filter(|allow| !["127.0.0.0/8", "::1"].contains(allow)) {
            filled.push(("#allow = [\"127.0.0.0/8\", \"::1\"]", format!("allow = [\"127.0.0.0/8\", \"::1\", {}]", quoted(allow))));
        }
        let line = |line: &str| filled.iter().find(|(from, _)| *from == line).map_or_else(|| line.to_owned(), |(_, to)| to.clone());
        let (title, rest) = TEMPLATE.split_once('\n').unwrap_or((TEMPLATE, ""));
        let rest: String = rest.lines().map(|text| line(text) + "\n").collect();
        let name: String = self.server.chars().filter(|c| !c.is_control()).collect();
        format!("{title}\n#\n# Written by `relayscope config init` for {name}: the lines without \"#\" were filled in.\n{rest}")
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// Why the file was not written.
#[derive(Debug, Error)]
pub enum InitError {
    #[error("{}: exists already, and is left as it is: name another path, or move it away", .path.display())]
    Exists { path: PathBuf },
    #[error("{}: cannot be written: {source}", .path.display())]
    Unwritable { path: PathBuf, source: io::Error },
}

/// Writes a text to a file that doesn't exist yet, with its directory. The file as it was shipped, to the octet, holds nothing of anybody's:
/// that one is filled in, and keeps its owner and mode.
pub fn init(path: &Path, text: &str) -> Result<(), InitError> {
    let fail = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => InitError::Exists { path: path.to_owned() },
        _ => InitError::Unwritable { path: path.to_owned(), source },
    };
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::create_dir_all(dir).map_err(fail)?;
    }
    let is_shipped = text != TEMPLATE && fs::read(path).is_ok_and(|found| found == TEMPLATE.as_bytes());
    let mut options = OpenOptions::new();
    let options = if is_shipped { options.write(true).truncate(true) } else { options.write(true).create_new(true) };
    options.open(path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(fail)
}
