//! Relayscope's own troubles: a disk without room for the trace, receivers of exports that are gone or choosy.

use std::time::Duration;

use crate::report::Situation;
use crate::scene::{Scene, Wanted};
use crate::support::haproxy::Haproxy;
use crate::support::log_server::{Kind, LogServer, Way, have};
use crate::support::mount::Mount;
use crate::support::relayscope::Relayscope;
use crate::support::sink::{Manner, Sink};
use crate::traffic::{Traffic, send};

const KIND: &str = "own";

pub const SITUATIONS: &[Situation] = &[
    Situation { cause: KIND, name: "the store's disk is full for a while", needs: &["mount", "root"], play: full },
    Situation { cause: KIND, name: "rsyslog, which takes the events, is stopped", needs: &["root"], play: rsyslog },
    Situation { cause: KIND, name: "a web filter before the collector refuses an event", needs: &["haproxy"], play: filter },
];

fn config(sink: &Sink, more: &str) -> String {
    format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n[[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\n[anomaly.dns]\nenabled = false\n{more}",
        sink.address
    )
}

/// The disk has room again before the minute is over: on a full one no incident can be recorded either.
fn full(scene: &mut Scene) {
    let Some(mount) = Mount::new(&scene.place, "store", 8 << 20) else { return scene.row.skipped = true };
    let sink = Sink::start(Manner::Take);
    let relayscope = Relayscope::configured(&scene.place, &config(&sink, ""));
    let pass = |name: &str| send(relayscope.address(), name, "ann@from.example", "bob@to.example");
    pass("before");
    mount.fill();
    scene.trouble();
    for number in 0..60 {
        assert!(pass(&format!("full{number}")).starts_with("250"), "mail flows on");
    }
    relayscope.output().expect("the trace store can't be written");
    mount.empty();
    relayscope.output().expect("the trace store can be written again");
    let words = ["the trace has a hole: ", "records were lost", "No space left", "Look at the disk of the store"];
    scene.named(&Wanted { anomaly: "tracing_gap", cause: "", act: "local_admin", words: &words, also: &[] });
    relayscope.stop();
}

fn rsyslog(scene: &mut Scene) {
    if !have("scenarios: rsyslog", Kind::Rsyslog) {
        return scene.row.skipped = true;
    }
    let mut server = LogServer::new(&scene.place, Kind::Rsyslog, Way::Tcp, None);
    server.start();
    let sink = Sink::start(Manner::Take);
    // An outage is told when it lasts for a minute; here for five seconds.
    let export = format!(
        "[[export]]\nname = \"siem\"\nkind = \"syslog\"\nurl = \"tcp://127.0.0.1:{}\"\nlinger = \"0s\"\nreport_after = \"5s\"\n",
        server.port
    );
    let relayscope = Relayscope::configured(&scene.place, &config(&sink, &export));
    let traffic = Traffic::start(relayscope.address(), &["bob@to.example"], 1, Duration::from_millis(500));
    server.expect("transaction.accepted");
    server.stop();
    scene.trouble();
    let words = ["the receiver of export siem takes nothing since", "refused", "relayscope export list"];
    scene.named(&Wanted { anomaly: "export_failing", cause: "", act: "local_admin", words: &words, also: &[] });
    drop(traffic);
}

/// To a filter for web traffic, a subject may look like an attack.
fn filter(scene: &mut Scene) {
    let refuses = "return status 400 content-type text/plain string blocked if { req.body -m sub drop-table }";
    let collector = Haproxy::answering(&scene.place, "collector", &[refuses, "return status 200"]);
    let sink = Sink::start(Manner::Take);
    let export =
        format!("[[export]]\nname = \"siem\"\nkind = \"http\"\nurl = \"http://{}/events\"\nbatch_events = 10\n", collector.address);
    let relayscope = Relayscope::configured(&scene.place, &config(&sink, &export));
    let _traffic = Traffic::start(relayscope.address(), &["bob@to.example"], 1, Duration::from_millis(500));
    scene.trouble();
    send(relayscope.address(), "drop-table", "ann@from.example", "bob@to.example");
    let words = ["export siem has left records out since", "refused and left out (1 so far)", "answered 400 Bad Request: blocked"];
    scene.named(&Wanted { anomaly: "export_skipping", cause: "", act: "local_admin", words: &words, also: &[] });
}
