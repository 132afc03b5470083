//! MTA-STS with real TXT records and real HTTPS (HAProxy), in every state that a domain may be found in. Time is an argument.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, SystemTime};

use relayscope::net::mta_sts::{Answer, Mode, MtaSts, Options, PolicyLookup};
use relayscope::net::tls::ClientTls;

use crate::support::certificates::{self, Certificates};
use crate::support::dns::{Dns, Zones};
use crate::support::place::Place;
use crate::support::ports;
use crate::support::process::{Process, run};
use crate::support::programs::{need, path_of};
use crate::{LONG, block_on, resolver};

const GOOD: &str = r"version: STSv1\r\nmode: enforce\r\nmx: mx.good.example\r\nmx: *.mail.example\r\nmax_age: 864000\r\n";
const DAY: Duration = Duration::from_secs(86_400);

/// An HTTPS server of the test's own; it goes when this is dropped, and can come back with other answers.
pub struct Web {
    process: Option<Process>,
    pub address: SocketAddr,
    pub certificates: Certificates,
}

impl Web {
    /// `rules` are HAProxy's, for the requests.
    pub fn start(place: &Place, rules: &str) -> Self {
        let names = ["good", "missing", "moved", "html", "broken", "long", "private"].map(|it| format!("mta-sts.{it}.example"));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let certificates = certificates::make(place, "web", &names);
        for _ in 0..5 {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::unused()));
            let mut web = Self { process: None, address, certificates: clone(&certificates) };
            if web.serve(place, rules) {
                return web;
            }
        }
        panic!("no port for haproxy");
    }

    /// Begins (again) with these rules on the same port.
    fn serve(&mut self, place: &Place, rules: &str) -> bool {
        self.stop();
        let read = |path| std::fs::read_to_string(path).unwrap();
        let pem = read(&self.certificates.certificate) + &read(&self.certificates.key);
        let pem = place.file("web/haproxy.pem", pem);
        let log = "log stderr format raw local0 info\n    tune.bufsize 300000";
        let config = format!(
            "global\n    {log}\ndefaults\n    log global\n    mode http\n    option httplog\n    timeout connect 60s\n    timeout client 60s\n    timeout server 60s\n\
             frontend web\n    bind {} ssl crt {}\n{rules}\n",
            self.address,
            pem.display()
        );
        let config = place.file("web/haproxy.cfg", config);
        let (code, output) = run(Command::new(path_of("haproxy")).arg("-c").arg("-f").arg(&config));
        assert_eq!(code, 0, "haproxy: {output}");
        let mut command = Command::new(path_of("haproxy"));
        command.arg("-db").arg("-f").arg(config);
        let mut process = Process::start(command, false);
        while process.is_running() {
            if std::net::TcpStream::connect(self.address).is_ok() {
                self.process = Some(process);
                return true;
            }
            std::thread::yield_now();
        }
        false
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    fn client(&self, dns: &Dns) -> MtaSts {
        let tls = ClientTls::only(&self.certificates.authority).unwrap();
        MtaSts::new(resolver(dns), tls, self.options())
    }

    fn options(&self) -> Options {
        let allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
        Options { timeout: LONG, dns_timeout: LONG, port: self.address.port(), allowed_networks, ..Options::default() }
    }
}

fn clone(certificates: &Certificates) -> Certificates {
    let Certificates { authority, certificate, key } = certificates;
    Certificates { authority: authority.clone(), certificate: certificate.clone(), key: key.clone() }
}

/// Every path but the right one is not found.
pub fn rules(answers: &[(&str, &str)]) -> String {
    let mut text =
        "    http-request capture hdr(host) len 64\n    http-request return status 404 unless { path /.well-known/mta-sts.txt }\n"
            .to_owned();
    for (domain, answer) in answers {
        text.push_str(&format!("    http-request {answer} if {{ hdr(host) -i mta-sts.{domain} }}\n"));
    }
    text + "    http-request return status 404\n"
}

pub fn returns(text: &str) -> String {
    format!("return status 200 content-type \"text/plain; charset=utf-8\" string \"{text}\"")
}

/// Domains that announce a policy, all on the test's own server.
fn zones(domains: &[(&str, &str)]) -> Zones {
    domains.iter().fold(Zones::new(), |zones, (domain, id)| {
        zones.txt(&format!("_mta-sts.{domain}"), &format!("v=STSv1; id={id};")).a(&format!("mta-sts.{domain}"), "127.0.0.1")
    })
}

fn ask(client: &MtaSts, domain: &str, now: SystemTime) -> PolicyLookup {
    block_on(client.policy(domain, now))
}

#[track_caller]
fn unusable(client: &MtaSts, domain: &str) -> String {
    match ask(client, domain, SystemTime::now()).answer {
        Answer::Unusable { why } => why,
        other => panic!("{domain}: {other:?}"),
    }
}

#[test]
fn each_way_to_have_no_policy_says_why() {
    need!("knotd", "keymgr", "unbound", "haproxy");
    let place = Place::new();
    let broken = returns(r"version: STSv1\nmode: sometimes\nmax_age: 1\n");
    let good = returns(GOOD);
    let long = place.file("web/long.txt", "mx: a.example\n".repeat(10_000));
    let long = format!("return status 200 content-type text/plain file {}", long.display());
    let rules = rules(&[
        ("good.example", &good),
        ("moved.example", "redirect location https://mta-sts.good.example/.well-known/mta-sts.txt code 301"),
        ("html.example", "return status 200 content-type text/html string \"<html>\""),
        ("broken.example", &broken),
        ("long.example", &long),
        ("wrong.example", &good),
    ]);
    let web = Web::start(&place, &rules);
    let announced = ["good", "missing", "moved", "html", "broken", "long", "wrong"].map(|it| format!("{it}.example"));
    let announced: Vec<(&str, &str)> = announced.iter().map(|it| (it.as_str(), "1")).collect();
    let dns = Dns::start(
        &place,
        &zones(&announced)
            .record("silent.example", "TXT \"v=spf1 -all\"")
            .txt("_mta-sts.two.example", "v=STSv1; id=1")
            .txt("_mta-sts.two.example", "v=STSv1; id=2")
            .txt("_mta-sts.homeless.example", "v=STSv1; id=1")
            .dead("dead.example"),
    );
    let client = web.client(&dns);

    let good = ask(&client, "Good.Example", SystemTime::now());
    let policy = good.answer.policy().unwrap();
    assert_eq!((policy.mode, policy.id.as_str(), policy.max_age, good.fetched), (Mode::Enforce, "1", 864_000, true));
    assert!(policy.matches("mx.good.example") && policy.matches("a.mail.example") && !policy.matches("mail.example"));

    assert_eq!(ask(&client, "silent.example", SystemTime::now()).answer, Answer::NoPolicy);
    assert_eq!(ask(&client, "nowhere.good.example", SystemTime::now()).answer, Answer::NoPolicy);
    assert_eq!(unusable(&client, "missing.example"), "mta-sts.missing.example answered 404 Not Found");
    assert_eq!(
        unusable(&client, "moved.example"),
        "mta-sts.moved.example redirects to \"https://mta-sts.good.example/.well-known/mta-sts.txt\"; \
         a policy must be where it belongs (RFC 8461 3.3)"
    );
    assert_eq!(unusable(&client, "html.example"), "mta-sts.html.example sent \"text/html\", not text/plain");
    assert_eq!(unusable(&client, "broken.example"), "the policy doesn't parse: its mode is \"sometimes\", not enforce, testing or none");
    assert_eq!(unusable(&client, "long.example"), "mta-sts.long.example sent more than 65536 octets");
    let wrong = unusable(&client, "wrong.example");
    assert!(
        wrong.starts_with(
            "TLS with mta-sts.wrong.example failed: certificate refused: name mismatch: certificate is for mta-sts.good.example"
        ),
        "{wrong}"
    );
    assert_eq!(unusable(&client, "two.example"), "there is more than one TXT record with v=STSv1");
    assert_eq!(unusable(&client, "homeless.example"), "no such name in DNS: mta-sts.homeless.example");
    assert!(unusable(&client, "dead.example").starts_with("the TXT record can't be looked up: the DNS server answered SERVFAIL"));

    let stranger = certificates::make(&place, "stranger", &["x.example"]);
    let client = MtaSts::new(resolver(&dns), ClientTls::only(&stranger.authority).unwrap(), web.options());
    assert!(unusable(&client, "good.example").contains("its signature is not that of the trusted authority"));

    let tls = ClientTls::only(&web.certificates.authority).unwrap();
    let cautious = MtaSts::new(resolver(&dns), tls, Options { allowed_networks: Vec::new(), ..web.options() });
    assert_eq!(unusable(&cautious, "good.example"), "mta-sts.good.example has the address 127.0.0.1, which is loopback (127.0.0.0/8)");
}

#[test]
fn a_policy_holds_until_its_id_changes_or_it_expires() {
    need!("knotd", "keymgr", "unbound", "unbound-control", "haproxy");
    let place = Place::new();
    let mut web = Web::start(&place, &rules(&[("good.example", &returns(GOOD))]));
    let dns = Dns::start(&place, &zones(&[("good.example", "1")]));
    let client = web.client(&dns);
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let after = |days: u32| start + DAY * days;
    let states = |client: &MtaSts, now| {
        let found = ask(client, "good.example", now);
        match found.answer {
            Answer::Policy { policy, stale } => (policy.id.clone(), policy.mode, found.fetched, stale),
            other => panic!("{other:?}"),
        }
    };
    let one = |fetched, stale: Option<&str>| ("1".to_owned(), Mode::Enforce, fetched, stale.map(str::to_owned));

    assert_eq!(states(&client, start), one(true, None));
    assert_eq!(states(&client, start + DAY / 2), one(false, None));

    // The server is gone: what is known holds; it is not asked again within five minutes.
    web.stop();
    let gone = format!("{} refused the connection (nothing listens there, or a firewall rejects it)", web.address);
    assert_eq!(states(&client, after(2)), one(true, Some(&gone)));
    assert_eq!(states(&client, after(2) + Duration::from_secs(299)), one(false, Some(&gone)));

    // The announcement is gone, or can't be read: the same.
    let resolver = resolver(&dns);
    let tls = ClientTls::only(&web.certificates.authority).unwrap();
    let restarted = MtaSts::new(resolver.clone(), tls, web.options());
    assert_eq!(restarted.import(&client.export(after(2)), after(2)).unwrap(), 1);
    dns.replace(&Zones::new().zone("good.example"));
    resolver.forget();
    assert_eq!(states(&restarted, after(3)), one(false, Some("the domain announces no policy any more")));

    // A new id is fetched at once.
    let testing = returns(&GOOD.replace("enforce", "testing"));
    assert!(web.serve(&place, &rules(&[("good.example", &testing)])));
    dns.replace(&zones(&[("good.example", "2")]));
    resolver.forget();
    assert_eq!(states(&restarted, after(3)), ("2".to_owned(), Mode::Testing, true, None));
    assert_eq!(states(&restarted, after(3)), ("2".to_owned(), Mode::Testing, false, None));

    // Expired, and nothing to be had.
    web.stop();
    assert!(matches!(ask(&restarted, "good.example", after(13)).answer, Answer::Unusable { why } if why == gone));
    assert_eq!(restarted.export(after(13)), r#"{"v":1,"policies":[]}"#);
}

#[test]
fn many_at_once_fetch_once() {
    need!("knotd", "keymgr", "unbound", "haproxy");
    let place = Place::new();
    let web = Web::start(&place, &rules(&[("good.example", &returns(GOOD))]));
    let dns = Dns::start(&place, &zones(&[("good.example", "1"), ("missing.example", "1")]));
    let client = std::sync::Arc::new(web.client(&dns));
    let now = SystemTime::now();
    block_on(async {
        let all: Vec<_> = (0..20)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.policy("good.example", now).await.answer })
            })
            .collect();
        for one in all {
            let Answer::Policy { policy, .. } = one.await.unwrap() else { panic!("no policy") };
            assert_eq!(policy.id, "1");
        }
    });
    assert!(!ask(&client, "good.example", now).fetched);
    // Once the server has logged a later request, it has logged all before.
    unusable(&client, "missing.example");
    let output = &web.process.as_ref().unwrap().output;
    output.expect("{mta-sts.missing.example}");
    assert_eq!(output.count("{mta-sts.good.example}"), 1, "{}", output.text());
}
