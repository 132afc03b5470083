//! A spam filter that has begun to dislike what is sent.

use crate::history::{HOUR, age, rehearsal};
use crate::report::Situation;
use crate::scene::{Scene, Wanted};
use crate::support::postfix::Postfix;
use crate::support::relayscope::Relayscope;
use crate::traffic::send;

const CAUSE: &str = "3 spam filter";

pub const SITUATIONS: &[Situation] = &[
    Situation { cause: CAUSE, name: "one message looks like spam to Postfix's body checks", needs: &["postfix", "root"], play: one },
    Situation { cause: CAUSE, name: "suddenly all mail does", needs: &["postfix", "root"], play: all },
];

/// A Postfix behind whose filter refuses messages of that subject.
fn filtering(scene: &Scene, pattern: &str) -> (Postfix, Relayscope, String) {
    let checks =
        scene.place.file("checks", format!("/^Subject: {pattern}/ REJECT 5.7.1 Message rejected as spam by content filter, score 14.2\n"));
    let extra = format!("header_checks = regexp:{}\n", checks.display());
    let postfix = Postfix::behind(&scene.place, &extra);
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n[[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\n[anomaly.dns]\nenabled = false\n",
        postfix.address
    );
    let relayscope = rehearsal(&scene.place, &config);
    (postfix, relayscope, config)
}

fn one(scene: &mut Scene) {
    let (_postfix, relayscope, config) = filtering(scene, "about cheap-pills");
    relayscope.stop();
    let relayscope = Relayscope::configured(&scene.place, &config);
    for number in 0..5 {
        send(relayscope.address(), &format!("usual{number}"), "ann@from.example", "bob@to.example");
    }
    scene.trouble();
    send(relayscope.address(), "cheap-pills", "ann@from.example", "bob@to.example");
    scene.told("cheap-pills@msg.example", "spam_detected", "sender", &[]);
    scene.no_incident(&[]);
}

fn all(scene: &mut Scene) {
    // What the filter lets pass is two hours old when it begins to dislike what is sent.
    let (_postfix, relayscope, config) = filtering(scene, "about later");
    for number in 0..60 {
        send(relayscope.address(), &format!("usual{number}"), "ann@from.example", "bob@to.example");
    }
    age(&scene.place, &relayscope.stop(), &[2 * HOUR]);
    let relayscope = Relayscope::configured(&scene.place, &config);
    for number in 0..5 {
        send(relayscope.address(), &format!("still{number}"), "ann@from.example", "bob@to.example");
    }
    scene.trouble();
    for number in 0..20 {
        let from = ["ann", "ben", "cleo", "dora"][number % 4];
        send(relayscope.address(), &format!("later{number}"), &format!("{from}@from.example"), "bob@to.example");
    }
    let words = ["is suddenly refused as spam", "several senders"];
    scene.named(&Wanted { anomaly: "spam_verdicts", cause: "spam_detected", act: "local_admin", words: &words, also: &[] });
}
