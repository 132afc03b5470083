//! Client side: a server sends through Relayscope to a Postfix that has everything, and logs in there.

use std::fs;
use std::path::PathBuf;

use relayscope::trace::{Flow, Leg, State, Transaction};

use crate::support::certificates;
use crate::support::message::{Message, digest};
use crate::support::place::Place;
use crate::support::postfix::{Postfix, offer_mechanisms, sasl_users};
use crate::support::process::{Output, run};
use crate::support::records;
use crate::support::relayscope::{Relayscope, command};

use super::mail::{self, Mail};
use super::server::{PASSWORD, Sending, Server, USER, until};
use super::table::{Findings, Found};

/// Whom the sending server logs in as.
const LOGIN: &str = "ann@submission.example";

/// Name of the server with the setting that gives each domain a transaction of its own.
const ONE_DOMAIN: &str = "onedomain";

/// Starts the server that is found out about.
pub type Start<'a> = dyn Fn(&Sending<'_>) -> Box<dyn Server> + 'a;

/// Everything behind the sending server.
pub struct Scene {
    pub place: Place,
    pub behind: Postfix,
    pub relayscope: Relayscope,
    authority: PathBuf,
    sasl: PathBuf,
    access: PathBuf,
}

impl Scene {
    pub fn new() -> Self {
        let place = Place::new();
        let certificates = certificates::make(&place, "tls", &["localhost", "127.0.0.1"]);
        let sasl = sasl_users(&place, "behind", &[(USER, PASSWORD)]);
        let access = place.file("behind/access", "later@to.example 450 4.2.0 come back later\n");
        let extra = format!(
            "virtual_mailbox_domains = to.example, from.example, one.example, two.example\n\
             virtual_mailbox_maps = inline:{{{{bob@to.example=bob/}}, {{carol@to.example=carol/}}, {{later@to.example=later/}}, \
             {{ann@from.example=ann/}}, {{bob@one.example=one/}}, {{bob@two.example=two/}}}}\n\
             smtpd_recipient_restrictions = check_recipient_access texthash:{access}, permit\n\
             smtpd_tls_security_level = may\n\
             smtpd_tls_cert_file = {certificate}\n\
             smtpd_tls_key_file = {key}\n\
             smtpd_sasl_auth_enable = yes\n\
             smtpd_sasl_path = smtpd\n\
             cyrus_sasl_config_path = {sasl}\n\
             smtpd_sasl_local_domain = submission.example\n\
             smtpd_sasl_security_options =\n\
             max_use = 1\n",
            access = access.display(),
            certificate = certificates.certificate.display(),
            key = certificates.key.display(),
            sasl = sasl.display(),
        );
        let behind = Postfix::behind(&place, &extra);
        // As `config init` makes it; the authority that made the smart host's certificate is nobody's but this test's.
        let smart_host = format!("localhost:{}", behind.address.port());
        let file = place.path("init.toml").display().to_string();
        let arguments = ["config", "init", &file, "--smart-host", &smart_host, "--listen", "127.0.0.1:0"];
        let (code, said) = run(&mut command(&place, &arguments));
        assert_eq!(code, 0, "{said}");
        let made = fs::read_to_string(&file).unwrap();
        let config = made
            .replace("#ca_file = \"/etc/relayscope/smart-host-ca.pem\"", &format!("ca_file = \"{}\"", certificates.authority.display()));
        assert_ne!(config, made);
        let relayscope = Relayscope::configured(&place, &config);
        Self { place, behind, relayscope, authority: certificates.authority, sasl, access }
    }

    pub fn sending<'a>(&'a self, name: &'a str, one_domain: bool) -> Sending<'a> {
        Sending {
            place: &self.place,
            name,
            relay: self.relayscope.address(),
            user: LOGIN,
            one_domain,
            authority: &self.authority,
            bypass: None,
        }
    }

    /// Waits until the message, or its sender's notice, is in a mailbox.
    pub fn arrived(&self, log: &Output, user: &str, id: &str) -> bool {
        until(&format!("{id} at {user}, or a bounce"), log, || {
            let there = self.mail(user, id).is_some();
            // OpenSMTPD keeps trying.
            let given_up = self.mail("ann", id).is_some() || log.count("no supported AUTH method") > 0;
            (there || given_up).then_some(there)
        })
    }

    pub fn mail(&self, user: &str, words: &str) -> Option<String> {
        self.behind.mailbox(user).into_iter().find(|it| it.contains(words))
    }
}

/// What `start` gives sends, and everything is found out that can be.
pub fn found(start: &Start<'_>) -> Findings {
    let mut findings = Findings::default();
    let scene = Scene::new();
    let front = start(&scene.sending("front", false));
    let offered = mail::offered(front.address());
    let has = |keyword: &str| offered.iter().any(|it| it == keyword);
    let submit = |mail: &Mail| mail.submit(&mut front.client());
    let arrives = |user: &str, mail: &Mail| scene.arrived(front.log(), user, &mail.id());

    let plain = Mail::new("plain");
    let eight = Mail::eight_bit("eight");
    let utf8 = Mail::smtputf8("utf8");
    let dsn = Mail::new("dsn").with("RET=HDRS ENVID=env-1", &[("bob@to.example", "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;robert@to.example")]);
    let pair = Mail::new("pair").with("", &[("bob@to.example", ""), ("unknown@to.example", "")]);
    let later = Mail::new("later").with("", &[("later@to.example", "")]);
    // All at once: a server may pause between connections.
    submit(&plain);
    let eight_sent = has("8BITMIME").then(|| submit(&eight)).is_some();
    let utf8_sent = has("SMTPUTF8").then(|| submit(&utf8)).is_some();
    let dsn_sent = has("DSN").then(|| submit(&dsn)).is_some();
    submit(&pair);
    submit(&later);
    let plain_arrived = arrives("bob", &plain);
    let eight_arrived = eight_sent.then(|| arrives("bob", &eight));
    let utf8_arrived = utf8_sent.then(|| arrives("bob", &utf8));
    let reported = dsn_sent.then(|| {
        arrives("bob", &dsn);
        // Whoever is the last to understand the request reports.
        until("a delivery report", front.log(), || scene.mail("ann", "rfc822;robert@to.example"))
    });
    arrives("bob", &pair);
    let bounce = until("a bounce", front.log(), || scene.mail("ann", "unknown@to.example"));
    scene.behind.log().expect("come back later");
    fs::write(&scene.access, "").unwrap();
    until("deferred mail", front.log(), || {
        front.flush();
        std::thread::sleep(std::time::Duration::from_millis(200));
        scene.mail("later", &later.id())
    });
    let mechanisms = ["PLAIN", "LOGIN", "CRAM-MD5"].map(|mechanism| {
        offer_mechanisms(&scene.sasl, mechanism);
        let mail = Mail::new(&format!("auth-{mechanism}"));
        submit(&mail);
        let arrived = arrives("bob", &mail);
        (mechanism, mail, arrived)
    });
    offer_mechanisms(&scene.sasl, "PLAIN LOGIN CRAM-MD5");
    let own_log = front.log().clone();
    drop(front);

    let everywhere = Mail::new("everywhere").with("", &[("bob@to.example", ""), ("bob@one.example", ""), ("bob@two.example", "")]);
    let apart =
        Mail::new("apart").with("", &[("bob@to.example", ""), ("carol@to.example", ""), ("bob@one.example", ""), ("bob@two.example", "")]);
    send_to_domains(&scene, start, "alldomains", &everywhere, &["bob", "one", "two"]);
    let with_setting = send_to_domains(&scene, start, ONE_DOMAIN, &apart, &["bob", "carol", "one", "two"]);
    let past = Mail::new("past");
    send_past(&scene, start, &past);

    let as_kept = |mail: &Mail| scene.mail("bob", &mail.id()).unwrap_or_default();
    let kept: Vec<String> = [&plain, &eight, &utf8].iter().map(|mail| as_kept(mail)).collect();
    let times_kept = |user: &str, mail: &Mail| scene.behind.mailbox(user).iter().filter(|it| it.contains(&mail.id())).count();
    let past_kept = times_kept("bob", &past);
    let later_kept = times_kept("later", &later);
    let apart_kept = [times_kept("bob", &apart), times_kept("carol", &apart), times_kept("one", &apart), times_kept("two", &apart)];
    let behind_log = scene.behind.log().clone();
    let Scene { relayscope, behind, place, .. } = scene;
    let all = records::transactions(&relayscope.stop());
    drop((behind, place));
    let of = |mail: &Mail| -> Vec<&Transaction> { all.iter().filter(|it| it.message.message_id.as_deref() == Some(&mail.id())).collect() };
    let one = |mail: &Mail| of(mail).into_iter().next_back().unwrap_or_else(|| panic!("no record of {}: {all:#?}", mail.id()));

    let record = one(&plain);
    findings.add("delivery", Found::when(plain_arrived && record.outcome.state == State::Accepted, || "not delivered".into()));
    findings.add("unaltered", unaltered(record, &kept[0], &plain));
    findings.add("starttls_client", Found::used(record.client.tls.is_some()));
    findings.add("starttls_upstream", Found::when(record.upstream.tls.as_ref().is_some_and(|it| it.verified == Some(true)), String::new));
    findings.add("queue_ids", queue_ids(record, &own_log, &behind_log));
    findings.add("pipelining", Found::used(all.iter().any(pipelined)));
    findings.add("chunking", Found::used(commands(record).any(|it| it.starts_with("BDAT"))));
    findings.add("size", Found::used(record.envelope.size_declared.is_some()));
    findings.add(
        "8bitmime",
        match eight_arrived {
            None => Found::not_offered(),
            Some(false) => Found::no("not delivered"),
            Some(true) if !has_param(one(&eight), "BODY=8BITMIME") => Found::unused("8-bit octets are sent all the same"),
            Some(true) => unaltered(one(&eight), &kept[1], &eight),
        },
    );
    findings.add(
        "smtputf8",
        match utf8_arrived {
            None => Found::not_offered(),
            Some(false) => Found::no("not delivered"),
            Some(true) if !has_param(one(&utf8), "SMTPUTF8") => Found::no("sent without SMTPUTF8"),
            Some(true) if one(&utf8).envelope.reverse_path != utf8.reverse_path => Found::no("another reverse-path"),
            Some(true) => unaltered(one(&utf8), &kept[2], &utf8),
        },
    );
    findings.add("dsn", reported.map_or_else(Found::not_offered, |report| passed_on(one(&dsn), &report)));
    findings.add("one_refused", one_refused(&of(&pair), &bounce));
    let states: Vec<State> = all
        .iter()
        .filter(|it| it.envelope.recipients.iter().any(|it| it.address == "later@to.example"))
        .map(|it| it.outcome.state)
        .collect();
    findings.add(
        "deferred",
        match (states.first() == Some(&State::Deferred) && states.last() == Some(&State::Accepted), later_kept) {
            (true, 1) => Found::yes(),
            (_, times) => Found::no(&format!("{states:?}, kept {times} times")),
        },
    );
    for (mechanism, mail, arrived) in &mechanisms {
        let auth = of(mail).into_iter().next_back().and_then(|it| it.client.auth.as_ref());
        let found = match (arrived, auth) {
            (true, Some(auth)) if auth.mechanism == *mechanism && auth.outcome == "succeeded" => Found::yes(),
            (true, None) => Found::unused("sent without a login"),
            (true, Some(auth)) => Found::no(&format!("{auth:?}")),
            (false, _) => Found::unused("mail waits for a mechanism that it knows"),
        };
        findings.add(&format!("auth_{}", mechanism.to_lowercase()), found);
    }
    assert!(!format!("{all:?}").contains(PASSWORD), "a password stands in a record");
    findings.add(
        "bypass",
        Found::when(past_kept == 1 && of(&past).is_empty(), || format!("kept {past_kept} times, {} records", of(&past).len())),
    );
    let domains = |mail: &Mail| -> Vec<usize> { of(mail).iter().map(|it| domains(it)).collect() };
    findings.add(
        "one_domain_without_setting",
        match domains(&everywhere).as_slice() {
            [1, 1, 1] => Found::yes(),
            other => Found::no(&format!("{} transaction(s) for three domains", other.len())),
        },
    );
    let together = domains(&apart);
    findings.add(
        "one_domain_with_setting",
        match (with_setting, apart_kept) {
            (false, _) => Found::not_offered(),
            (true, [1, 1, 1, 1]) if together.iter().all(|it| *it == 1) => {
                Found::yes_with(&format!("{} transactions for four recipients in three domains", together.len()))
            }
            (true, [1, 1, 1, 1]) => Found::no(&format!("transactions with {together:?} domains")),
            (true, kept) => Found::no(&format!("kept {kept:?} times")),
        },
    );
    findings
}

/// Starts a server anew and sends through it; whether its recipe has a setting for [`ONE_DOMAIN`], which it then has.
fn send_to_domains(scene: &Scene, start: &Start<'_>, name: &str, mail: &Mail, users: &[&str]) -> bool {
    let front = start(&scene.sending(name, name == ONE_DOMAIN));
    mail.submit(&mut front.client());
    for user in users {
        scene.arrived(front.log(), user, &mail.id());
    }
    front.one_domain_setting()
}

/// Starts a server anew, with the recipe's bypass, and sends past Relayscope.
fn send_past(scene: &Scene, start: &Start<'_>, mail: &Mail) {
    let front = start(&Sending { bypass: Some(scene.behind.address), ..scene.sending("bypassed", false) });
    mail.submit(&mut front.client());
    scene.arrived(front.log(), "bob", &mail.id());
}

/// What came out at the far end is what went in on the record, octet for octet; what the server itself changed is another matter.
fn unaltered(record: &Transaction, kept: &str, mail: &Mail) -> Found {
    // The last server's own lines end with its Received field; the next line of a field begins with a space.
    let lines = kept.split_inclusive('\n').skip_while(|line| !line.starts_with("Received:")).skip(1);
    let message: String = lines.skip_while(|line| line.starts_with([' ', '\t'])).collect();
    let octets = message.replace('\n', "\r\n").into_bytes();
    let chunked = commands(record).any(|it| it.starts_with("BDAT"));
    let sent = Message::of("kept", octets);
    let wire = if chunked { sent.octets.clone() } else { sent.on_the_wire().into_owned() };
    if record.message.body_digest.map(|it| it.to_string()) != Some(digest(&wire)) {
        let what = String::from_utf8_lossy(&sent.octets).chars().take(300).collect::<String>();
        return Found::no(&format!(
            "what arrived isn't what was recorded: {} octets, {} there, begins {what:?}",
            record.message.size,
            sent.octets.len()
        ));
    }
    if kept.ends_with(&mail.body) { Found::yes() } else { Found::yes_with("the server itself rewrites the body") }
}

fn queue_ids(record: &Transaction, own_log: &Output, behind_log: &Output) -> Found {
    let known = |id: &Option<String>, log: &Output| id.as_ref().is_some_and(|id| log.text().contains(id.as_str()));
    let (client, upstream) = (known(&record.message.client_queue_id, own_log), known(&record.outcome.upstream_queue_id, behind_log));
    Found::when(client && upstream, || {
        format!("client {:?}, upstream {:?}", record.message.client_queue_id, record.outcome.upstream_queue_id)
    })
}

fn commands(record: &Transaction) -> impl Iterator<Item = &str> {
    record.timeline.lines().filter(|it| it.leg == Leg::Client && it.flow == Flow::In).map(|it| it.text)
}

/// Whether a command came before the reply to the one before it.
fn pipelined(record: &Transaction) -> bool {
    let client: Vec<Flow> = record.timeline.lines().filter(|it| it.leg == Leg::Client).map(|it| it.flow).collect();
    client.windows(2).any(|pair| pair == [Flow::In, Flow::In])
}

fn has_param(record: &Transaction, param: &str) -> bool {
    record.envelope.params.iter().any(|it| it.eq_ignore_ascii_case(param))
}

fn passed_on(record: &Transaction, report: &str) -> Found {
    let recipient = &record.envelope.recipients[0];
    let notify = ["NOTIFY=SUCCESS,FAILURE", "NOTIFY=FAILURE,SUCCESS"];
    let notify = recipient.params.iter().any(|it| notify.contains(&it.to_ascii_uppercase().as_str()));
    let original = recipient.orcpt.as_deref() == Some("rfc822;robert@to.example");
    if !notify || !original || record.envelope.envid.as_deref() != Some("env-1") {
        return Found::no(&format!("passed on as {} {}", record.envelope.params.join(" "), recipient.params.join(" ")));
    }
    if !report.contains("Original-Envelope-Id: env-1") || !report.contains("Reporting-MTA: dns; behind.example") {
        return Found::no("passed on, but reported otherwise");
    }
    if has_param(record, "RET=HDRS") { Found::yes() } else { Found::yes_with("the server doesn't pass on RET") }
}

/// Each recipient's truth stands in the records, and came back to the sender.
fn one_refused(records: &[&Transaction], bounce: &str) -> Found {
    let fates: Vec<_> = records.iter().flat_map(|it| &it.envelope.recipients).map(|it| (it.address.as_str(), it.state)).collect();
    let right = [("bob@to.example", State::Accepted), ("unknown@to.example", State::Rejected)].iter().all(|it| fates.contains(it));
    let right = right && bounce.contains("5.1.1");
    Found::when(right, || format!("{fates:?}"))
}

fn domains(record: &Transaction) -> usize {
    let mut domains: Vec<_> =
        record.envelope.recipients.iter().filter_map(|it| it.address.split_once('@')).map(|(_, domain)| domain).collect();
    domains.sort_unstable();
    domains.dedup();
    domains.len()
}
