//! Examines a domain: the resolver that is asked, where its mail goes, who vouches for its mail, and what its policies ask for.
//!
//! Everything is asked at the same time where that is harmless, and nothing for longer than [`DomainOptions::limit`].

mod exchangers;
mod options;
mod servers;

use std::future::Future;
use std::time::{Duration, Instant};

pub use options::{Canaries, DomainOptions};

use super::check::Check;
use super::report::{Report, Section};
use crate::net::resolve::{Destination, Resolver, destination};

/// Examines `domain`. Never takes longer than [`DomainOptions::limit`]: what isn't done by then is said to be so.
pub async fn examine_domain(resolver: &Resolver, options: &DomainOptions, domain: &str) -> Report {
    let target = format!("dns {domain}");
    let name = match destination(domain) {
        Ok(Destination::Domain(name)) => name,
        Ok(Destination::Literal(address)) => {
            let answer = format!("{address} is an address: there is nothing in DNS to look at but its name");
            return refused(target, domain, answer, &format!("Ask for the sender instead: `relayscope doctor sender {address}`."));
        }
        Err(error) => return refused(target, domain, error.to_string(), "Give the part behind the @ of a mail address."),
    };
    let clock = Clock { began: Instant::now(), limit: options.limit };
    let (servers, mx) = tokio::join!(
        clock.section("Name servers that are asked", servers::examine(resolver, options, &name)),
        clock.section("Where mail goes (MX)", async { exchangers::examine(resolver, options, &name).await.0 }),
    );
    Report::of(target, vec![servers, mx])
}

fn refused(target: String, domain: &str, answer: String, fix: &str) -> Report {
    let mut section = Section::new("Domain");
    section.push(Check::asking("dns.domain", format!("{domain:?} as a domain"), "mail is sent to domains").fail(answer, fix));
    Report::of(target, vec![section])
}

/// How much time there is.
#[derive(Clone, Copy)]
struct Clock {
    began: Instant,
    limit: Duration,
}

impl Clock {
    fn left(self) -> Duration {
        self.limit.saturating_sub(self.began.elapsed())
    }

    /// What a part of the examination found; or that it wasn't done in time.
    async fn section(self, title: &str, part: impl Future<Output = Vec<Check>>) -> Section {
        let checks = tokio::time::timeout(self.left(), part).await.unwrap_or_else(|_| vec![self.too_late(title)]);
        Section { title: title.to_owned(), checks }
    }

    fn too_late(self, title: &str) -> Check {
        let asked = title.to_owned();
        let why = "an answer that takes this long is too late for mail as well";
        Check::asking("dns.unfinished", asked, why).took(self.limit).warn(
            format!("not done within {} s: servers that were asked don't answer", self.limit.as_secs_f64()),
            "See the checks of the name servers first; ask again with more time (`--timeout`).",
        )
    }
}

/// "3 hosts", "1 host".
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
