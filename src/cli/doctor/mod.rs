//! `relayscope doctor`: examines actively what the traces can't know.

mod page;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Traces;
use super::backend::{self, Backend};
use super::failure::{Failure, Status};
use super::run::Source;
use super::running::{self, Effective};
use super::screen::{Look, show_json};
use crate::config;
use crate::doctor::examine::{Doctor as Examiner, NotExamined, Wishes};
use crate::doctor::message::Stopped;
use crate::doctor::options::Options;
use crate::doctor::upstream::probe;
use crate::doctor::{Check, Report, Section, Verdict, seen};
use crate::net::resolve::{self, Resolver};
use crate::path::{ListRequest, What};
use crate::trace::RecordId;
use crate::trace::json::Record;

/// Everything together takes no longer: what isn't examined by then is said.
const ALL: Duration = Duration::from_secs(180);

const EXIT: &str = "Exit status: 0 healthy, 1 trouble found, 2 usage or configuration, 3 it couldn't be examined.\n\
                    Only `upstream --send` sends a message; everything else only asks.";

#[derive(Debug, Args)]
#[command(after_help = EXIT)]
pub struct Doctor {
    #[command(subcommand)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Target {
    /// The proxy itself, every upstream, and what [doctor] in the configuration names
    All(#[command(flatten)] Box<Leading>),
    /// The proxy itself: store, disk, gaps, certificates, configuration, clock; and queues by imported logs
    #[command(name = "self")]
    Own(#[command(flatten)] Box<Common>),
    /// A domain in DNS: where its mail goes, each mail host, name servers, SPF, DKIM, DMARC, MTA-STS, TLS-RPT, DANE
    Dns {
        /// The part behind the @
        #[arg(value_name = "DOMAIN")]
        domain: String,
        #[command(flatten)]
        common: Box<Common>,
    },
    /// An upstream: addresses, ports, TLS, certificate, login; directly and through the proxy. One of your own also as an open relay
    Upstream(Box<Upstream>),
    /// An address that mail leaves from: its name, blocklists, SPF
    Sender {
        #[arg(value_name = "IP")]
        address: IpAddr,
        #[command(flatten)]
        common: Box<Common>,
    },
    /// Only what can explain why that message stopped, and one sentence
    Message {
        /// A record's id, as `where` and `search` show it
        #[arg(value_name = "ID")]
        id: RecordId,
        #[command(flatten)]
        leading: Box<Leading>,
    },
}

#[derive(Debug, Args)]
struct Upstream {
    /// Its name in the configuration [default: the only one]
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Ask whether it takes mail for this address; nothing is sent
    #[arg(long, value_name = "ADDRESS", value_parser = probe::address)]
    rcpt: Option<String>,
    /// Send a short test message there: one directly, by the first host that can be reached, and one through each listener that leads there
    #[arg(long, value_name = "ADDRESS", value_parser = probe::address)]
    send: Option<String>,
    /// Reverse-path of both [default: the login, if it is an address, or postmaster@host_name]
    #[arg(long, value_name = "ADDRESS", value_parser = probe::address)]
    from: Option<String>,
    /// Reach the proxy here [default: the addresses of its listeners]
    #[arg(long, value_name = "ADDR")]
    through: Option<SocketAddr>,
    /// Leave the proxy out
    #[arg(long, conflicts_with_all = ["through", "self_test"])]
    directly: bool,
    /// Attack the proxy's own listeners with false ends of data and injected commands (with --rcpt; no message is ever ended)
    #[arg(long)]
    self_test: bool,
    #[command(flatten)]
    leading: Leading,
}

#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    traces: Traces,
    /// Configuration file [default: what the proxy that runs on the store goes by, or else config/relayscope.toml, then
    /// /etc/relayscope/relayscope.toml, if there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Of [`Leading`].
    #[arg(skip)]
    smart_host: Option<String>,
    /// Ask this DNS server alone, and no hosts file: an address, or an address and a port
    #[arg(long, value_name = "ADDR", value_parser = dns_server)]
    dns_server: Option<SocketAddr>,
    /// Each single wait for a server, in seconds [default: `timeout` in [doctor], 5]
    #[arg(long, value_name = "SECONDS", value_parser = patience)]
    timeout: Option<Duration>,
}

/// Of the targets that look at upstreams.
#[derive(Debug, Args)]
struct Leading {
    #[command(flatten)]
    common: Common,
    /// Examine this smart host instead of what the file says
    #[arg(long, value_name = "HOST:PORT")]
    smart_host: Option<String>,
}

impl Leading {
    fn common(self) -> Common {
        Common { smart_host: self.smart_host, ..self.common }
    }
}

fn dns_server(text: &str) -> Result<SocketAddr, String> {
    let bare = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
    bare.or_else(|_| text.parse()).map_err(|_| "write an address, as 192.0.2.53 or [2001:db8::53]:5353".to_owned())
}

fn patience(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.trim_end_matches('s').parse().map_err(|_| "write seconds, as 5 or 0.5".to_owned())?;
    match seconds {
        0.1..=60.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("from 0.1 to 60 seconds".to_owned()),
    }
}

impl Doctor {
    pub fn run(self) -> Result<Status, Failure> {
        match self.target {
            Target::All(leading) => leading.common().examine(true, async |examiner, common| {
                let own = common.own_if_any(examiner).await;
                Ok(examiner.all(own, ALL).await)
            }),
            Target::Own(common) => common.examine(false, async |examiner, common| {
                let nowhere = || Failure::failed(anyhow::anyhow!("there is no store to look at")).advise("name it with --store DIR");
                common.own(examiner).await?.ok_or_else(nowhere)
            }),
            Target::Dns { domain, common } => common.examine(false, async |examiner, common| {
                let seen = common.selectors(examiner, &domain).await;
                Ok(examiner.domain(&domain, &seen, false).await)
            }),
            Target::Sender { address, common } => common.examine(false, async |examiner, _| Ok(examiner.sender(address, &[]).await)),
            Target::Upstream(upstream) => upstream.run(),
            Target::Message { id, leading } => leading.common().examine(true, async |examiner, common| common.message(examiner, id).await),
        }
    }
}

impl Upstream {
    fn run(self) -> Result<Status, Failure> {
        let Self { name, rcpt, send, from, through, directly, self_test, leading } = self;
        let common = leading.common();
        // A listener that neither a file nor a proxy names is nobody's.
        let directly = directly || (common.is_smart_host_alone() && through.is_none() && !self_test);
        let wishes = Wishes { rcpt, send, from, through, directly, self_test, ..Wishes::default() };
        common.examine(true, async |examiner, _| {
            let found = examiner.upstream_named(name.as_deref()).map_err(not_examined)?.clone();
            Ok(examiner.upstream(&found, &wishes).await)
        })
    }
}

fn not_examined(error: NotExamined) -> Failure {
    Failure::usage(error.to_string())
}

impl Common {
    /// Examines, and shows what was found. `configured`: nothing can be said without a configuration that is right; otherwise it counts if it is.
    fn examine(&self, configured: bool, how: impl AsyncFnOnce(&Examiner, &Self) -> Result<Report, Failure>) -> Result<Status, Failure> {
        let examiner = self.examiner(configured)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
        let report = runtime.block_on(how(&examiner, self))?;
        if self.traces.json {
            show_json(&report)?;
        } else {
            page::render(&report, &Look::of_stdout(Timestamp::now())).show()?;
        }
        Ok(match report.verdict {
            _ if !report.is_examined() => Status::Failed,
            Verdict::Ok | Verdict::Skipped => Status::Done,
            Verdict::Warn | Verdict::Fail => Status::NotFound,
        })
    }

    fn examiner(&self, configured: bool) -> Result<Examiner, Failure> {
        let store = running::store_of(self.traces.store.as_deref(), self.config.as_deref());
        // Of a proxy that is asked by its address nobody here can read the file.
        let effective = Effective::of(self.source(), store.clone().filter(|_| self.traces.api.is_none()));
        let effective = match effective {
            Err(_) if !configured => Effective { source: self.source(), of: None },
            effective => effective?,
        };
        let loaded = match configured {
            true => {
                let loaded = effective.source.load().map_err(|_| Failure::usage("the configuration can't be used"))?;
                effective.say(&loaded);
                Some(loaded)
            }
            false => effective.source.read().ok(),
        };
        let (mut options, mut dns) = match loaded {
            Some(loaded) => (loaded.doctor(), loaded.dns),
            None => {
                let file = effective.source.config.as_deref();
                (config::doctor_options(file), config::dns_options(file))
            }
        };
        if let Some(running) = &effective.of {
            options.listen_on(&running.listeners);
            // As it was typed where the proxy was started; here it may lead elsewhere.
            options.store.dir = store.unwrap_or(options.store.dir);
        }
        if let Some(server) = self.dns_server {
            dns = resolve::Options { servers: vec![server], hosts_file: false, ..dns };
        }
        if let Some(patience) = self.timeout {
            options.patience = patience;
        }
        Ok(Examiner { options: Arc::new(options), resolver: Resolver::new(&dns) })
    }

    /// What is examined stands on the command line alone.
    fn is_smart_host_alone(&self) -> bool {
        self.smart_host.is_some() && self.config.is_none() && !config::DEFAULT_PATHS.iter().any(|path| Path::new(path).exists())
    }

    fn source(&self) -> Source {
        Source {
            config: self.config.clone(),
            smart_host: self.smart_host.clone(),
            store: self.traces.store.clone(),
            listen: None,
            http: None,
            take_over: false,
        }
    }

    /// The proxy's own health: by the running one, or by the store of a stopped one. `None`: there is no store.
    async fn own(&self, examiner: &Examiner) -> Result<Option<Report>, Failure> {
        let traces = self.traces_of(&examiner.options);
        let examiner = examiner.clone();
        // The client has a runtime of its own, and the store is read.
        let asked = tokio::task::spawn_blocking(move || match traces {
            None => Ok(None),
            Some(traces) => match Backend::open(&traces)? {
                Backend::Api(client) => Ok(client.get("/api/v1/doctor", &[("target", "self")])?),
                Backend::Store(store) => {
                    let mut options = (*examiner.options).clone();
                    // The one that was opened, which a flag may have named.
                    options.store.dir = traces.store.unwrap_or(options.store.dir);
                    let examiner = Examiner { options: Arc::new(options), ..examiner };
                    Ok(Some(examiner.own(store.store(), false).map_err(Failure::failed)?))
                }
            },
        });
        asked.await.map_err(Failure::failed)?
    }

    /// The same among other things: that it can't be had is a check by itself, and keeps nothing else from being examined.
    async fn own_if_any(&self, examiner: &Examiner) -> Option<Report> {
        match self.own(examiner).await {
            Ok(report) => report,
            Err(failure) => {
                let mut section = Section::new("proxy");
                let check = Check::asking("own.store", "the proxy's own health", "a proxy that is in trouble explains much");
                let advice = failure.advice.unwrap_or_default();
                section.push(check.skipped(format!("{}. {advice}", failure.error).trim_end_matches([' ', '.']).to_owned()));
                Some(Report::of("self", vec![section]))
            }
        }
    }

    /// DKIM selectors in the traces. Without traces that can be read there are none: DNS is examined all the same.
    async fn selectors(&self, examiner: &Examiner, domain: &str) -> Vec<String> {
        let domain = domain.trim_end_matches('.').to_lowercase();
        let Some(traces) = self.traces_of(&examiner.options) else { return Vec::new() };
        let Ok(what) = What::parse(&format!("kind:transaction domain:{domain}"), Timestamp::now(), &TimeZone::UTC) else {
            return Vec::new();
        };
        let request = ListRequest { limit: seen::MOST, before: None, explain: false };
        let listed = tokio::task::spawn_blocking(move || Backend::open(&traces)?.list(&what, request)).await;
        let Ok(Ok(listing)) = listed else { return Vec::new() };
        let now = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or_default();
        let signatures = listing.records.iter().flat_map(|record| match record {
            Record::Transaction(it) if seen::tells(it.direction.0, it.outcome.state.0, it.at.0, now) => it.message.signatures.as_slice(),
            _ => &[],
        });
        seen::selectors_of(signatures.map(|it| (it.domain.as_str(), it.selector.as_str())), &domain)
    }

    async fn message(&self, examiner: &Examiner, id: RecordId) -> Result<Report, Failure> {
        let traces = self.traces_of(&examiner.options).unwrap_or_else(|| self.traces.clone());
        let record = tokio::task::spawn_blocking(move || Backend::open(&traces)?.record(id));
        let Some(record) = record.await.map_err(Failure::failed)?? else {
            return Err(Failure { status: Status::NotFound, ..Failure::failed(anyhow::anyhow!("no record {id}")) });
        };
        let Some(stopped) = Stopped::of(&record) else {
            return Err(Failure::usage(format!("{id} tells of no message and no connection")));
        };
        let own = self.own_if_any(examiner).await;
        Ok(examiner.message(&stopped, own).await)
    }

    /// The store that is named, or else the configuration's, or else one of the usual places.
    fn traces_of(&self, options: &Options) -> Option<Traces> {
        if self.traces.api.is_some() || self.traces.store.is_some() {
            return Some(self.traces.clone());
        }
        let configured = Some(options.store.dir.clone()).filter(|dir| dir.is_dir());
        let dir = configured.or_else(|| backend::store_dir(&self.traces).ok())?;
        Some(Traces { store: Some(dir), ..self.traces.clone() })
    }
}
