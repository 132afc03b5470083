//! A spam filter that has begun to dislike what is sent.

use std::time::Duration;

use crate::report::Situation;
use crate::scene::{Scene, Wanted};
use crate::support::postfix::Postfix;
use crate::support::relayscope::Relayscope;
use crate::traffic::{Traffic, send};

const CAUSE: &str = "3 spam filter";

pub const SITUATIONS: &[Situation] = &[
    Situation { cause: CAUSE, name: "one message looks like spam to Postfix's body checks", needs: &["postfix", "root"], play: one },
    Situation { cause: CAUSE, name: "suddenly all mail does", needs: &["postfix", "root"], play: all },
];

/// A Postfix behind whose filter refuses messages of that subject.
fn filtering(scene: &Scene, pattern: &str) -> (Postfix, Relayscope) {
    let checks =
        scene.place.file("checks", format!("/^Subject: {pattern}/ REJECT 5.7.1 Message rejected as spam by content filter, score 14.2\n"));
    let extra = format!("header_checks = regexp:{}\n", checks.display());
    let postfix = Postfix::behind(&scene.place, &extra);
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n[[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\n[anomaly.dns]\nenabled = false\n",
        postfix.address
    );
    let relayscope = Relayscope::configured(&scene.place, &config);
    (postfix, relayscope)
}

fn one(scene: &mut Scene) {
    let (_postfix, relayscope) = filtering(scene, "about cheap-pills");
    for number in 0..5 {
        send(relayscope.address(), &format!("usual{number}"), "ann@from.example", "bob@to.example");
    }
    scene.trouble();
    send(relayscope.address(), "cheap-pills", "ann@from.example", "bob@to.example");
    scene.told("cheap-pills@msg.example", "spam_detected", "sender", &[]);
    scene.no_incident(&[]);
}

fn all(scene: &mut Scene) {
    // The filter's rule takes effect from the sixtieth message on: what is usual is known after fifty.
    let (_postfix, relayscope) = filtering(scene, "about traffic([6-9][0-9]|[0-9]{3})$");
    let traffic = Traffic::start(relayscope.address(), &["bob@to.example"], 2, Duration::from_millis(200));
    traffic.tried(60);
    scene.trouble();
    let words = ["is suddenly refused as spam", "several senders"];
    scene.named(&Wanted { anomaly: "spam_verdicts", cause: "spam_detected", act: "local_admin", words: &words, also: &[] });
}
