//! A smart host's limits: the day's mail is used up, or it came too fast.

use std::time::Duration;

use crate::report::Situation;
use crate::scene::{Scene, Wanted};
use crate::smart_host::{Says, SmartHost};
use crate::support::relayscope::Relayscope;
use crate::traffic::Traffic;

const CAUSE: &str = "8 smart host, limits";

pub const SITUATIONS: &[Situation] = &[
    Situation { cause: CAUSE, name: "the day's quota is used up (550 5.4.5)", needs: &[], play: day },
    Situation { cause: CAUSE, name: "the tenant's recipients a day are used up (550 5.7.233)", needs: &[], play: tenant },
    Situation { cause: CAUSE, name: "the hour's quota is used up (452 with its number)", needs: &[], play: hour },
    Situation { cause: CAUSE, name: "too fast (454 4.7.0 at end-of-data)", needs: &[], play: fast },
    Situation { cause: CAUSE, name: "too many connections (421 in the greeting's place)", needs: &[], play: connections },
    Situation { cause: CAUSE, name: "a storm of 421 in the middle of sessions", needs: &[], play: storm },
];

fn play(scene: &mut Scene, change: impl FnOnce(&mut Says), wanted: &Wanted<'_>) {
    let host = SmartHost::start(Says::default());
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n[[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\n[anomaly.dns]\nenabled = false\n",
        host.address
    );
    let relayscope = Relayscope::configured(&scene.place, &config);
    let traffic =
        Traffic::start(relayscope.address(), &["bob@a.example", "carol@b.example", "dave@c.example"], 2, Duration::from_millis(500));
    traffic.tried(10);
    host.says(change);
    scene.trouble();
    scene.named(wanted);
    drop(traffic);
}

fn day(scene: &mut Scene) {
    let says = "550-5.4.5 Daily user sending limit exceeded. For more information on Gmail\r\n550 5.4.5 sending limits go to https://support.google.com/a/answer/166852";
    let words = ["Daily user sending limit exceeded"];
    let wanted = Wanted { anomaly: "sending_limit_reached", cause: "sending_limit_reached", act: "local_admin", words: &words, also: &[] };
    play(scene, |it| it.end_of_data = says.to_owned(), &wanted);
}

fn tenant(scene: &mut Scene) {
    let says = "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit for sending email to external recipients (tenant external recipient rate limit)";
    let words = ["tenant exceeded its daily limit"];
    let wanted = Wanted { anomaly: "sending_limit_reached", cause: "sending_limit_reached", act: "local_admin", words: &words, also: &[] };
    play(scene, |it| it.rcpt = says.to_owned(), &wanted);
}

fn hour(scene: &mut Scene) {
    let says = "452 4.3.1 You have reached your limit of 300 messages per hour, try again later";
    let words = ["300"];
    let wanted = Wanted { anomaly: "sending_limit_reached", cause: "sending_limit_reached", act: "local_admin", words: &words, also: &[] };
    play(scene, |it| it.mail = says.to_owned(), &wanted);
}

fn fast(scene: &mut Scene) {
    let says = "454 4.7.0 Throttling failure: Maximum sending rate exceeded.";
    let words = ["Maximum sending rate exceeded"];
    let wanted = Wanted { anomaly: "rate_limited", cause: "rate_limited", act: "local_admin", words: &words, also: &[] };
    play(scene, |it| it.end_of_data = says.to_owned(), &wanted);
}

fn connections(scene: &mut Scene) {
    let says = "421 4.7.0 smtp.provider.example Error: too many connections from 192.0.2.25";
    let words = ["takes no more connections", "too many connections from"];
    let wanted = Wanted { anomaly: "connection_limit", cause: "rate_limited", act: "local_admin", words: &words, also: &[] };
    play(scene, |it| it.greeting = says.to_owned(), &wanted);
}

fn storm(scene: &mut Scene) {
    let says = "421 4.3.0 smtp.provider.example Service shutting down, closing transmission channel";
    let words = ["ends sessions in the middle", "Service shutting down"];
    let wanted = Wanted { anomaly: "upstream_closing", cause: "remote_system_error", act: "smart_host", words: &words, also: &[] };
    play(scene, |it| it.rcpt = says.to_owned(), &wanted);
}
