//! `deploy/compatibility.md`: made of what a run found, and read again to see that it is still true.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use super::table::{FEATURES, gather};

/// Servers, in the page's order, with their names there.
const SERVERS: &[(&str, &str)] =
    &[("courier", "Courier"), ("exim", "Exim"), ("opensmtpd", "OpenSMTPD"), ("postfix", "Postfix"), ("sendmail", "Sendmail")];

/// Sides, with their headings.
const SIDES: &[(&str, &str)] = &[("sends", "Sending through Relayscope"), ("receives", "Receiving behind Relayscope")];

const HEAD: &str = "\
# Mail servers with Relayscope

Made by `cargo test --test servers -- --ignored page` of what the tests in `tests/servers` found with the true servers, configured
as the recipes beside this page say; no line is written by hand, and the tests hold each run against it.

- **yes**: it works, and the record tells it rightly.
- **unused**: Relayscope offers it, and the server doesn't ask for it.
- **n/a**: the server doesn't have it (it isn't in its reply to EHLO, or there is no such setting).
- **no**: it doesn't work; the note says why.

The other side is a Postfix with all extensions for servers that send; for servers that receive, a client that uses whatever is
offered, swaks, and a Postfix in front.
";

/// Makes the page anew.
pub fn write() {
    let table = gather();
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    let mut page = HEAD.to_owned();
    for (side, heading) in SIDES {
        let find = |server: &str, feature: &str| rows.iter().find(|row| row[..2] == [*side, server] && row[3] == feature);
        let versions = SERVERS.iter().map(|(server, name)| {
            let row = find(server, "delivery").unwrap_or_else(|| panic!("{server} hasn't been tested: {side}"));
            format!(" {name} {} |", upstream(row[2]))
        });
        write!(page, "\n## {heading}\n\n| |{}\n|---|{}\n", versions.collect::<String>(), "---|".repeat(SERVERS.len())).unwrap();
        let mut notes = String::new();
        for (feature, label) in FEATURES {
            let found: Vec<_> = SERVERS.iter().map(|(server, name)| (name, find(server, feature))).collect();
            if found.iter().all(|(_, row)| row.is_none()) {
                continue;
            }
            let cells: String = found.iter().map(|(_, row)| format!(" {} |", row.map_or("", |row| row[4]))).collect();
            writeln!(page, "| {label} |{cells}").unwrap();
            for (name, row) in found {
                if let Some(note) = row.map(|row| row[5]).filter(|note| !note.is_empty()) {
                    writeln!(notes, "- {name}, {label}: {note}.").unwrap();
                }
            }
        }
        write!(page, "\n{notes}").unwrap();
    }
    fs::write(path(), page).unwrap();
}

/// What the page says, if this server's feature is no longer so. Of another version of the server, only what has stopped working counts.
pub fn differing(side: &str, server: &str, version: &str, label: &str, result: &str) -> Option<String> {
    let page = fs::read_to_string(path()).unwrap_or_default();
    let heading = SIDES.iter().find(|(name, _)| *name == side).map(|(_, heading)| format!("## {heading}"))?;
    let name = SERVERS.iter().find(|(key, _)| *key == server).map(|(_, name)| *name)?;
    let table: Vec<Vec<&str>> = page
        .lines()
        .skip_while(|line| *line != heading)
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let column = table.first().and_then(|head| head.iter().position(|cell| cell.split(' ').next() == Some(name)));
    let stated = column.and_then(|at| table.iter().find(|row| row.get(1) == Some(&label)).and_then(|row| row.get(at)));
    let (Some(column), Some(stated)) = (column, stated) else { return Some("nothing".to_owned()) };
    let same_version = table[0][column] == format!("{name} {}", upstream(version));
    let differs = if same_version { *stated != result } else { *stated == "yes" && result == "no" };
    differs.then(|| (*stated).to_owned())
}

/// Of a package's version, what the server itself is called: `4.96-15+deb12u10` is 4.96.
fn upstream(version: &str) -> &str {
    version.split_once('-').map_or(version, |(upstream, _)| upstream)
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/compatibility.md")
}
