//! Webhooks to a receiver that runs beside the test: signed, tried again, given up, and never to somebody else.

use std::time::{Duration, Instant};

use relayscope::net::http_client::HttpUrl;
use relayscope::net::tls::ClientTls;
use relayscope::net::webhook::{Webhook, WebhookError, WebhookOptions};
use ring::hmac;

use super::anomalies::keep_trying;
use crate::support::certificates::{self, Certificates};
use crate::support::place::Place;
use crate::support::ports::Refusing;
use crate::support::programs::need;
use crate::support::receiver::Receiver;
use crate::support::relayscope::Relayscope;

const SECRET: &str = "correct horse battery staple";

fn webhook(url: &str, authority: Option<&Certificates>, secret: &str) -> Webhook {
    let tls = ClientTls::new(authority.map(|it| it.authority.as_path())).unwrap();
    let key = Some(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()));
    Webhook::new(WebhookOptions { url: HttpUrl::parse(url).unwrap(), key, tls, timeout: Duration::from_secs(30) })
}

fn post(webhook: &Webhook) -> Result<(), WebhookError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(webhook.post("{\"step\":\"opened\",\"id\":\"1\"}".to_owned()))
}

/// What becomes of a post, and whether it is tried again.
#[track_caller]
fn check(answer: &str, words: &str, again: bool) {
    let place = Place::new();
    let receiver = Receiver::start(&place, SECRET, answer, None);
    let url = format!("http://127.0.0.1:{}/hook?a=b", receiver.port);
    let error = post(&webhook(&url, None, SECRET)).unwrap_err();
    assert!(error.to_string().contains(words), "{answer}: {error}");
    assert_eq!(error.may_pass(), again, "{answer}: {error}");
    receiver.output().expect("POST /hook?a=b ");
    assert_eq!(receiver.output().count("POST"), 1, "{answer}: {}", receiver.output().text());
}

#[test]
fn answers_decide_whether_it_is_tried_again() {
    need!("python3");
    check("500", "127.0.0.1 answered 500 Internal Server Error", true);
    check("503", "answered 503", true);
    check("429", "answered 429", true);
    check("400", "answered 400 Bad Request", false);
    check("401", "doesn't believe the signature (webhook_secret_file)", false);
    check("410", "410 Gone: there is no receiver at this address (any more)", false);
    check("302", "302 Found: redirects aren't followed, so name the address that it leads to in `webhook`", false);
    check("broken", "127.0.0.1 broke HTTP", true);
    check("closed", "127.0.0.1 broke HTTP", true);
}

#[test]
fn the_receiver_tells_a_true_signature_from_a_false_one() {
    need!("python3");
    let place = Place::new();
    let receiver = Receiver::start(&place, SECRET, "204", None);
    let url = format!("http://localhost:{}/hook", receiver.port);
    post(&webhook(&url, None, SECRET)).unwrap();
    let line = receiver.output().expect("genuine=True");
    assert!(
        line.contains(&format!("host=localhost:{}", receiver.port)) && line.contains("type=application/json agent=relayscope"),
        "{line}"
    );
    post(&webhook(&url, None, "another secret")).unwrap();
    receiver.output().expect("genuine=False");
}

#[test]
fn a_receiver_that_never_answers_is_left() {
    need!("python3");
    let place = Place::new();
    let receiver = Receiver::start(&place, SECRET, "silent,200", None);
    let tls = ClientTls::new(None).unwrap();
    let url = HttpUrl::parse(&format!("http://127.0.0.1:{}/", receiver.port)).unwrap();
    let hurried = Webhook::new(WebhookOptions { url, key: None, tls, timeout: Duration::from_millis(300) });
    let error = post(&hurried).unwrap_err();
    assert!(error.may_pass() && error.to_string() == "127.0.0.1 did not answer within 300ms", "{error}");
    // The connection ended with the attempt: the receiver, one request at a time, is free for the next.
    post(&webhook(&format!("http://127.0.0.1:{}/", receiver.port), None, SECRET)).unwrap();
}

#[test]
fn nothing_is_said_to_a_receiver_whose_certificate_is_wrong() {
    need!("python3");
    let place = Place::new();
    let ours = certificates::make(&place, "ours", &["localhost", "127.0.0.1"]);
    let others = certificates::make(&place, "others", &["localhost"]);
    let named = certificates::make(&place, "named", &["elsewhere.example"]);
    let old = certificates::expired(&place, "old", &["localhost"]);
    let good = Receiver::start(&place, SECRET, "200", Some(&ours));
    for host in ["localhost", "127.0.0.1"] {
        post(&webhook(&format!("https://{host}:{}/", good.port), Some(&ours), SECRET)).unwrap();
    }
    assert_eq!(good.output().expect_lines("genuine=True", 2).len(), 2);
    for (what, shown, believed) in [("of another authority", &others, &ours), ("for another name", &named, &named), ("expired", &old, &old)]
    {
        let receiver = Receiver::start(&place, SECRET, "200", Some(shown));
        let error = post(&webhook(&format!("https://localhost:{}/", receiver.port), Some(believed), SECRET)).unwrap_err();
        assert!(error.to_string().starts_with("TLS with localhost failed: certificate refused: "), "{what}: {error}");
        assert!(error.may_pass(), "a certificate may be renewed");
        println!("{what}: {error}");
        assert_eq!(receiver.output().count("POST"), 0, "{what}");
    }
    let clear = Receiver::start(&place, SECRET, "200", None);
    let error = post(&webhook(&format!("https://localhost:{}/", clear.port), Some(&ours), SECRET)).unwrap_err();
    assert!(error.to_string().starts_with("TLS with localhost failed: "), "{error}");
    println!("{error}");
}

#[test]
fn a_receiver_that_is_gone_is_named() {
    let gone = Refusing::new();
    let error = post(&webhook(&format!("http://{}/", gone.address), None, SECRET)).unwrap_err();
    assert!(error.may_pass() && error.to_string().starts_with("127.0.0.1 can't be reached: "), "{error}");
}

#[test]
fn incidents_reach_a_receiver_that_fails_at_first() {
    need!("python3");
    let place = Place::new();
    let gone = Refusing::new();
    let certificates = certificates::make(&place, "receiver", &["localhost"]);
    let receiver = Receiver::start(&place, SECRET, "500,closed,200", Some(&certificates));
    let secret = place.file("webhook.secret", format!("{SECRET}\n"));
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n[[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\n\
         [anomaly.upstream]\ndown_after = \"1s\"\n[anomaly.dns]\nenabled = false\n\
         [anomaly.notify]\nwebhook = \"https://localhost:{}/relayscope\"\nwebhook_secret_file = \"{}\"\nwebhook_ca_file = \"{}\"\n",
        gone.address,
        receiver.port,
        secret.display(),
        certificates.authority.display()
    );
    let began = Instant::now();
    let relayscope = Relayscope::configured(&place, &config);
    keep_trying(&relayscope, || receiver.output().text().contains("answer=200"));
    println!("taken after {:?}", began.elapsed());
    let tries = receiver.output().expect_lines("POST /relayscope ", 3);
    let id = |line: &String| line.split(' ').find(|word| word.starts_with("id=")).map(str::to_owned);
    assert!(tries.iter().take(3).all(|line| line.contains("genuine=True step=opened anomaly=upstream_down")), "{tries:?}");
    assert!(id(&tries[0]).is_some() && id(&tries[0]) == id(&tries[1]) && id(&tries[1]) == id(&tries[2]), "the same entry: {tries:?}");
    let log = relayscope.output().text();
    assert!(!log.contains(SECRET) && !log.contains("could not be told"), "{log}");
    relayscope.stop();
}
