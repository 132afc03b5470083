//! Much more mail than usual, and none: against what somebody has sent for a week.

use std::time::Duration;

use crate::history::{HOUR, age, rehearsal};
use crate::report::Situation;
use crate::scene::{Scene, Wanted};
use crate::support::certificates;
use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::ports;
use crate::support::postfix::Postfix;
use crate::support::relayscope::Relayscope;
use crate::support::sink::{Manner, Sink};
use crate::support::swaks::swaks;
use crate::traffic::Traffic;

const KIND: &str = "volume";

pub const SITUATIONS: &[Situation] = &[
    Situation {
        cause: KIND,
        name: "a stolen account sends to hundreds of strangers",
        needs: &["postfix", "root", "saslpasswd2", "swaks"],
        play: stolen,
    },
    Situation { cause: KIND, name: "a Postfix that always sends is stopped", needs: &["postfix", "root"], play: silent },
];

/// Ann writes some mail every other hour; then somebody has her password.
fn stolen(scene: &mut Scene) {
    let certificates = certificates::make(&scene.place, "tls", &["127.0.0.1"]);
    let gone = scene.place.file("gone", "/^gone/ 550 5.1.1 User unknown\n");
    let more = format!("smtpd_recipient_restrictions = check_recipient_access regexp:{}\ndefault_transport = discard\n", gone.display());
    let postfix = Postfix::submission_with(&scene.place, "submission", &certificates, &[("ann", "right")], &more);
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n\
         [[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\ntls = \"required\"\nca_file = \"{}\"\n[anomaly.dns]\nenabled = false\n",
        postfix.address,
        certificates.authority.display()
    );
    let login = ["--auth", "PLAIN", "--auth-user", "ann@submission.example", "--auth-password", "right"];
    let relayscope = rehearsal(&scene.place, &config);
    for number in 0..3 {
        let (code, said) = swaks(relayscope.address(), &format!("usual{number}@msg.example"), &login);
        assert_eq!(code, 0, "{said}");
    }
    let habit: Vec<u64> = (1..=8 * 12).map(|number| number * 2 * HOUR).collect();
    age(&scene.place, &relayscope.stop(), &habit);
    let relayscope = Relayscope::configured(&scene.place, &config);
    scene.trouble();
    for number in 0..12 {
        let strangers: Vec<String> = (0..25)
            .map(|stranger| {
                format!("{}{number}@far{}.example", if stranger % 3 == 0 { "gone" } else { "user" }, (number * 25 + stranger) % 60)
            })
            .collect();
        let strangers = strangers.join(",");
        let arguments = [&login[..], &["--to", &strangers]].concat();
        let (code, said) = swaks(relayscope.address(), &format!("burst{number}@msg.example"), &arguments);
        assert_eq!(code, 0, "{said}");
    }
    let words = [
        // How much of the burst is in it depends on the moment of the judgement.
        "user ann@submission.example sent ",
        " recipients within the last hour",
        " domains: as if somebody else used the account",
        "Lock the account",
    ];
    scene.named(&Wanted { anomaly: "volume_spike", cause: "", act: "local_admin", words: &words, also: &[] });
}

/// Forty messages a minute from 127.0.0.9, now and a week ago; others send now and then.
fn silent(scene: &mut Scene) {
    let sink = Sink::start(Manner::Take);
    let listen = ports::unused();
    // Silence is told after a quarter of an hour at the earliest; here it is. What a part of an hour teaches depends on the minute in which this
    // runs: how improbable it must be is lowered, so that a minute is enough whenever that is.
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:{listen}\"]\ntls = \"off\"\n[[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\n[anomaly.dns]\nenabled = false\n\
         [anomaly.volume]\nsilence = \"15s\"\nsilence_improbable = 3\n",
        sink.address
    );
    let front = Postfix::front(&scene.place, ([127, 0, 0, 1], listen).into(), "smtp_bind_address = 127.0.0.9\n");
    let relayscope = rehearsal(&scene.place, &config);
    let mut client = Client::ready(front.address);
    for number in 0..20 {
        assert_eq!(client.deliver(&Message::named(&format!("usual{number}"))).unwrap().code, 250);
    }
    client.quit();
    front.log().expect_lines("status=sent", 20);
    // The same minutes in both weeks: the hours that count only in part are the same. What wasn't traced just before the start teaches nothing.
    let half_minutes = (0..2 * 120).chain(166 * 120..170 * 120);
    let habit: Vec<u64> = half_minutes.map(|number| HOUR / 40 + number * HOUR / 120).collect();
    age(&scene.place, &relayscope.stop(), &habit);
    let relayscope = Relayscope::configured(&scene.place, &config);
    let _others = Traffic::start(relayscope.address(), &["bob@to.example"], 1, Duration::from_secs(2));
    let mut client = Client::ready(front.address);
    for number in 0..5 {
        assert_eq!(client.deliver(&Message::named(&format!("still{number}"))).unwrap().code, 250);
    }
    client.quit();
    front.log().expect_lines("status=sent", 25);
    let _stopped = front.stop();
    scene.trouble();
    let words = ["no mail from 127.0.0.9 since", "an hour", "its mail service running"];
    scene.named(&Wanted { anomaly: "silence", cause: "", act: "local_admin", words: &words, also: &[] });
}
