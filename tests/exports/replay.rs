//! `relayscope export replay --since`: exactly what was recorded since then is sent again, whatever happens on the way.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::mail::{deliver, exporting, smart_host, until};
use super::web_server::{Does, Web};
use crate::support::place::Place;
use crate::support::process::run;
use crate::support::relayscope::{Relayscope, command};
use crate::support::sink::Sink;

/// A receiver that has three messages from before a moment and three from after it.
struct Scene {
    place: Place,
    web: Web,
    sink: Sink,
    moment: String,
}

impl Scene {
    fn new() -> (Self, Relayscope) {
        let (place, web, sink) = (Place::new(), Web::start(), smart_host());
        let file = place.file("secret", "the key");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let mut scene = Self { place, web, sink, moment: String::new() };
        let relayscope = scene.run();
        deliver(&relayscope, "before", 3);
        scene.arrive(3);
        scene.moment = jiff::Timestamp::now().to_string();
        deliver(&relayscope, "after", 3);
        scene.arrive(6);
        (scene, relayscope)
    }

    fn run(&self) -> Relayscope {
        let export = format!(
            "[[export]]\nname = \"siem\"\nlinger = \"50ms\"\nkind = \"http\"\nurl = \"http://{}/hook\"\nsecret_file = \"{}\"\n",
            self.web.address,
            self.place.path("secret").display()
        );
        exporting(&self.place, &self.sink, &export)
    }

    fn arrive(&self, wanted: usize) {
        until(&format!("{wanted} transactions"), || self.web.transactions().len() >= wanted);
    }

    /// Orders a replay of what came after the moment.
    fn replay(&self) {
        let (code, said) =
            run(&mut command(&self.place, &["export", "replay", "--sink", "siem", "--since", &self.moment, "--store", "store"]));
        assert!(code == 0 && said.contains("siem sends again what was recorded since"), "{said}");
    }

    /// So many requests more than there were.
    fn tried(&self, before: usize, more: usize) {
        until("requests", || self.web.requests() >= before + more);
    }

    /// The last that arrived are these, and nothing besides.
    #[track_caller]
    fn got_again(self, relayscope: Relayscope, from: usize, to: usize) {
        let sent = to - from;
        self.arrive(to + sent);
        // What follows in the journal comes behind it: nothing else was on the way.
        deliver(&relayscope, "last", 1);
        self.arrive(to + sent + 1);
        let all = self.web.transactions();
        assert_eq!(all.len(), to + sent + 1, "{all:?}");
        assert_eq!(all[to..to + sent], all[from..to], "those after the moment, in order, and none before it");
        self.web.is_content();
        relayscope.stop();
    }
}

#[test]
fn a_first_batch_that_fails_is_tried_again_as_it_was() {
    let (scene, relayscope) = Scene::new();
    let before = scene.web.requests();
    scene.web.always(Some(Does::Answer(503)));
    scene.replay();
    scene.tried(before, 2);
    scene.web.always(None);
    scene.got_again(relayscope, 3, 6);
}

#[test]
fn it_is_gone_on_with_after_the_process_was_killed() {
    let (scene, relayscope) = Scene::new();
    let before = scene.web.requests();
    scene.web.always(Some(Does::Answer(503)));
    scene.replay();
    scene.tried(before, 2);
    relayscope.kill();
    scene.web.always(None);
    let relayscope = scene.run();
    scene.got_again(relayscope, 3, 6);
}

#[test]
fn it_is_promised_only_once_it_is_written_even_while_a_receiver_hangs() {
    let (scene, relayscope) = Scene::new();
    let before = scene.web.requests();
    scene.web.next([Does::Hang]);
    deliver(&relayscope, "hanging", 1);
    scene.tried(before, 1);
    // The sink waits for its receiver, and the order holds all the same: for who is killed, and for who is told to stop.
    scene.replay();
    relayscope.kill();
    let place = fs::read_to_string(scene.place.path("store/export/siem.json")).unwrap();
    assert!(place.contains("since_us"), "{place}");
    let relayscope = scene.run();
    scene.arrive(6 + 4);
    let all = scene.web.transactions();
    assert_eq!(all[6..9], all[3..6], "and then the one that hung");
    relayscope.stop();
}

#[test]
fn what_was_never_sent_is_not_passed_over() {
    let (mut scene, relayscope) = Scene::new();
    scene.web.always(Some(Does::Answer(503)));
    deliver(&relayscope, "waits", 3);
    relayscope.output().expect("an export isn't taken");
    scene.moment = jiff::Timestamp::now().to_string();
    deliver(&relayscope, "later", 3);
    scene.replay();
    scene.web.always(None);
    scene.arrive(12);
    relayscope.stop();
}

#[test]
fn a_time_that_lies_ahead_is_refused() {
    let (scene, relayscope) = Scene::new();
    let replay =
        |store: &str| run(&mut command(&scene.place, &["export", "replay", "--sink", "siem", "--since", "2100-01-01", "--store", store]));
    let (code, said) = replay("store");
    assert!(code == 2 && said.contains("lies ahead"), "{code}: {said}");
    deliver(&relayscope, "one", 1);
    scene.arrive(7);
    relayscope.stop();
    assert_eq!(replay("store").0, 2, "of a stopped proxy's store too");
}
