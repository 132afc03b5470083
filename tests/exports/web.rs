//! Events over HTTP: any server, Splunk's collector with acknowledgement, and _bulk; and what they do when they don't take them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use relayscope::trace::{AuditEvent, Record};
use ring::hmac;

use super::mail::{deliver, exporting, ids, smart_host, until};
use super::web_server::{Does, Web};
use crate::support::place::Place;
use crate::support::relayscope::Relayscope;
use crate::support::sink::Sink;

struct Scene {
    place: Place,
    web: Web,
    _sink: Sink,
    relayscope: Relayscope,
}

/// A relayscope that exports to a server of ours; `{url}` and `{secret}` stand for what they are.
fn scene(secret: &str, export: &str) -> Scene {
    scene_before(secret, export, |_| {})
}

fn scene_before(secret: &str, export: &str, prepare: impl FnOnce(&Web)) -> Scene {
    let (place, web, sink) = (Place::new(), Web::start(), smart_host());
    prepare(&web);
    let file = place.file("secret", secret);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let export =
        export.replace("{url}", &format!("http://{}", web.address)).replace("{secret}", &format!("secret_file = \"{}\"", file.display()));
    let relayscope = exporting(&place, &sink, &format!("[[export]]\nname = \"siem\"\nlinger = \"50ms\"\n{export}\n"));
    Scene { place, web, _sink: sink, relayscope }
}

impl Scene {
    /// Waits for so many transactions.
    fn arrive(&self, wanted: usize) {
        until(&format!("{wanted} events\n{}", self.relayscope.output().text()), || {
            let mut ids = self.web.transactions();
            ids.sort();
            ids.dedup();
            ids.len() == wanted
        });
    }

    /// Each transaction of the store arrived, and none twice; the audit events beside them.
    fn exactly_once(self) -> Vec<Record> {
        let arrived = self.web.transactions();
        self.web.is_content();
        let store = self.relayscope.stop();
        assert_eq!(arrived.len(), ids(&store).len(), "none twice");
        assert!(arrived.iter().all(|id| ids(&store).contains(id)));
        assert!(arrived.is_sorted(), "in the order of the journal");
        let _ = &self.place;
        crate::support::records::all(&store)
    }
}

const HOOK: &str = "kind = \"http\"\nurl = \"{url}/hook\"\n{secret}";
const SPLUNK: &str = "kind = \"splunk\"\nurl = \"{url}\"\nacknowledgement = true\n{secret}";
const ELASTIC: &str = "kind = \"elasticsearch\"\nurl = \"{url}\"\nformat = \"json\"\n{secret}";

#[test]
fn posts_are_signed_over_what_is_sent() {
    let scene = scene("the key", &format!("{HOOK}\ngzip = true"));
    deliver(&scene.relayscope, "one", 25);
    scene.arrive(25);
    {
        let seen = scene.web.seen.lock().unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"the key");
        for (headers, body) in seen.headers.iter().zip(&seen.bodies) {
            let tag: String = hmac::sign(&key, body).as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
            assert_eq!(headers["x-relayscope-signature"].to_str().unwrap(), format!("sha256={tag}"));
            assert_eq!(headers["content-encoding"], "gzip");
        }
    }
    scene.exactly_once();
}

#[test]
fn an_array_is_one_json_text() {
    let scene = scene("the key", &format!("{HOOK}\nbody = \"array\""));
    deliver(&scene.relayscope, "one", 5);
    scene.arrive(5);
    scene.exactly_once();
}

#[test]
fn a_server_that_refuses_for_a_while_gets_everything_later() {
    let refusals = [500, 429, 503, 401, 404].map(Does::Answer);
    let scene = scene_before("the key", HOOK, |web| web.next(refusals));
    deliver(&scene.relayscope, "one", 10);
    scene.arrive(10);
    let said = scene.relayscope.output().expect("an export isn't taken");
    assert!(said.contains("500") && !said.contains('\u{1b}'), "{said}");
    assert!(scene.web.requests() > 5);
    scene.exactly_once();
}

#[test]
fn a_server_that_takes_little_at_once_gets_less() {
    let scene = scene_before("the key", HOOK, |web| {
        web.take_at_most(3);
        web.next([Does::Answer(500)]);
    });
    deliver(&scene.relayscope, "one", 40);
    scene.arrive(40);
    scene.exactly_once();
}

#[test]
fn one_event_that_is_never_taken_is_left_out_and_said() {
    let scene = scene_before("the key", HOOK, |web| web.next([Does::Answer(500)]));
    deliver(&scene.relayscope, "one", 10);
    deliver(&scene.relayscope, "poison", 1);
    deliver(&scene.relayscope, "two", 10);
    scene.arrive(20);
    let said = scene.relayscope.output().expect("an event is refused for good and left out");
    assert!(said.contains("this event I can't take"), "{said}");
    let records = crate::support::records::all(&scene.relayscope.stop());
    let skipped = records.iter().find_map(|record| match record {
        Record::Audit(it) if it.event == AuditEvent::ExportSkipped => it.detail.clone(),
        _ => None,
    });
    assert!(skipped.is_some_and(|detail| detail.contains("refused and left out (1 so far)")));
}

#[test]
fn a_server_that_never_answers_doesnt_keep_the_proxy_from_ending() {
    let scene = scene_before("the key", HOOK, |web| web.always(Some(Does::Hang)));
    deliver(&scene.relayscope, "one", 3);
    until("it was asked", || scene.web.requests() > 0);
    let store = scene.relayscope.stop();
    assert_eq!(ids(&store).len(), 3);
}

#[test]
fn splunk_counts_only_what_its_indexers_have() {
    let scene = scene("0b1e-token", SPLUNK);
    deliver(&scene.relayscope, "one", 30);
    scene.arrive(30);
    scene.exactly_once();
}

#[test]
fn what_splunk_never_acknowledged_is_sent_by_the_next_process() {
    let scene = scene_before("0b1e-token", SPLUNK, |web| web.always(Some(Does::Forget)));
    deliver(&scene.relayscope, "one", 5);
    until("it was taken", || scene.web.requests() > 0);
    assert!(scene.web.transactions().is_empty(), "taken, not indexed");
    let Scene { place, web, _sink, relayscope } = scene;
    relayscope.stop();
    web.always(None);
    let export = format!(
        "[[export]]\nname = \"siem\"\n{}\n",
        SPLUNK
            .replace("{url}", &format!("http://{}", web.address))
            .replace("{secret}", &format!("secret_file = \"{}\"", place.path("secret").display()))
    );
    let relayscope = exporting(&place, &_sink, &export);
    until("all of them", || web.transactions().len() == 5);
    web.is_content();
    relayscope.stop();
}

#[test]
fn a_wrong_token_is_said_and_never_shown() {
    let scene = scene("wrong-token", SPLUNK);
    deliver(&scene.relayscope, "one", 1);
    let said = scene.relayscope.output().expect("an export isn't taken");
    assert!(said.contains("403") && said.contains("Invalid token"), "{said}");
    assert!(!scene.relayscope.output().text().contains("wrong-token"));
    scene.relayscope.stop();
}

#[test]
fn documents_are_there_once() {
    // Nothing of the first answer is believed: it is sent again, and the documents have their ids.
    let scene = scene_before("a2V5", ELASTIC, |web| web.next([Does::Refuse { place: 1, status: 429 }]));
    deliver(&scene.relayscope, "one", 30);
    scene.arrive(30);
    scene.web.is_content();
    let mut arrived = scene.web.transactions();
    arrived.sort();
    assert_eq!(arrived.into_iter().collect::<std::collections::BTreeSet<_>>(), ids(&scene.relayscope.stop()));
}

#[test]
fn a_document_that_doesnt_fit_is_left_out() {
    let scene = scene_before("a2V5", ELASTIC, |web| web.next([Does::Refuse { place: 0, status: 400 }]));
    deliver(&scene.relayscope, "one", 10);
    until("nine or ten events and the word", || {
        scene.relayscope.output().text().contains("document_parsing_exception: as the test wants it")
    });
    let waits = || scene.web.transactions().len() >= 9;
    until("the others", waits);
    scene.relayscope.stop();
}

#[test]
fn an_index_that_is_closed_is_waited_for() {
    let scene = scene_before("a2V5", ELASTIC, |web| web.always(Some(Does::Closed)));
    deliver(&scene.relayscope, "one", 20);
    let said = scene.relayscope.output().expect("an export isn't taken");
    assert!(said.contains("index_closed_exception"), "{said}");
    scene.web.always(None);
    scene.arrive(20);
    scene.exactly_once();
}

#[test]
fn a_receiver_that_refuses_everything_is_waited_for() {
    let scene = scene_before("the key", HOOK, |web| web.always(Some(Does::Answer(400))));
    deliver(&scene.relayscope, "one", 30);
    scene.relayscope.output().expect("refused=8");
    scene.web.always(None);
    let store = |scene: Scene| ids(&scene.relayscope.stop());
    // The first ones count as refused for what is in them; all others are kept for later.
    until("the others", || scene.web.transactions().len() >= 22);
    let arrived: std::collections::BTreeSet<String> = scene.web.transactions().into_iter().collect();
    let all = store(scene);
    assert!(arrived.is_subset(&all) && all.len() - arrived.len() <= 8, "{} of {}", arrived.len(), all.len());
}
