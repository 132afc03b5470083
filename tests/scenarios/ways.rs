//! Mail that goes round in a circle, goes out twice, or meets a server that comes and goes; quotas and destinations.

use std::time::Duration;

use crate::history::{HOUR, age, rehearsal};
use crate::report::Situation;
use crate::scene::{Scene, Wanted};
use crate::smart_host::{Says, SmartHost};
use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::ports;
use crate::support::postfix::Postfix;
use crate::support::relayscope::Relayscope;
use crate::support::sink::{Manner, Sink};
use crate::traffic::{Traffic, send};

const KIND: &str = "ways";
const NEEDS: &[&str] = &["postfix", "root"];

pub const SITUATIONS: &[Situation] = &[
    Situation { cause: KIND, name: "two Postfix send each other the same message", needs: NEEDS, play: circle },
    Situation { cause: KIND, name: "a message goes out again after a lost reply", needs: &[], play: doubled },
    Situation { cause: KIND, name: "the smart host comes and goes", needs: &[], play: flapping },
    Situation { cause: KIND, name: "a quota of 20 a day is nearly used up", needs: &[], play: near },
    Situation { cause: KIND, name: "a domain suddenly refuses everybody", needs: &[], play: refusing },
    Situation { cause: KIND, name: "a receiver refuses for DMARC", needs: &[], play: dmarc },
];

fn config(host: &str, more: &str) -> String {
    format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n[[upstream]]\nname = \"main\"\nhosts = [\"{host}\"]\n{more}[anomaly.dns]\nenabled = false\n"
    )
}

fn circle(scene: &mut Scene) {
    let listen = ports::unused();
    let front = Postfix::front(&scene.place, ([127, 0, 0, 1], listen).into(), "");
    let back = Postfix::named(&scene.place, "back", &format!("relayhost = [127.0.0.1]:{}\n", front.address.port()));
    let config = config(&back.address.to_string(), "").replace("127.0.0.1:0", &format!("127.0.0.1:{listen}"));
    let _relayscope = Relayscope::configured(&scene.place, &config);
    scene.trouble();
    send(front.address, "round", "ann@from.example", "bob@loop.example");
    let words = ["goes round in a circle"];
    scene.named(&Wanted { anomaly: "mail_loop", cause: "mail_loop", act: "local_admin", words: &words, also: &[] });
}

fn doubled(scene: &mut Scene) {
    let sink = Sink::start(Manner::CloseAfterDot);
    let relayscope = Relayscope::configured(&scene.place, &config(&sink.address.to_string(), ""));
    let message = Message::named("twice");
    scene.trouble();
    let mut client = Client::ready(relayscope.address());
    client.hand_in(&message);
    client.rest();
    sink.set(Manner::Take);
    let mut client = Client::ready(relayscope.address());
    assert_eq!(client.deliver(&message).unwrap().code, 250);
    client.quit();
    let words = ["1 message was sent again through main"];
    scene.named(&Wanted { anomaly: "duplicates", cause: "", act: "smart_host", words: &words, also: &[] });
}

/// Three outages of twelve seconds; by default each must last for twenty.
fn flapping(scene: &mut Scene) {
    let host = SmartHost::start(Says::default());
    let relayscope = Relayscope::configured(&scene.place, &config(&host.address.to_string(), "[anomaly.upstream]\ndown_after = \"1s\"\n"));
    let _traffic = Traffic::start(relayscope.address(), &["bob@to.example"], 1, Duration::from_millis(500));
    for _ in 0..3 {
        host.says(|it| it.greeting = "554 5.3.2 no service here at present".to_owned());
        std::thread::sleep(Duration::from_secs(12)); // an outage
        scene.trouble();
        host.says(|it| it.greeting = Says::default().greeting);
        std::thread::sleep(Duration::from_secs(3)); // between two
    }
    let words = ["comes and goes", "3 times"];
    let also = &["upstream_down"];
    scene.named(&Wanted { anomaly: "upstream_flapping", cause: "connection_failed", act: "smart_host", words: &words, also });
}

fn near(scene: &mut Scene) {
    let host = SmartHost::start(Says::default());
    let quota = "[[anomaly.quota]]\nupstream = \"main\"\nper = \"day\"\ncount = \"recipients\"\nlimit = 20\n";
    let relayscope = Relayscope::configured(&scene.place, &config(&host.address.to_string(), quota));
    scene.trouble();
    for number in 0..17 {
        send(relayscope.address(), &format!("m{number}"), "ann@from.example", "bob@to.example");
    }
    let words = ["17 of the quota of 20 recipients a day"];
    scene.named(&Wanted { anomaly: "sending_limit_near", cause: "sending_limit_reached", act: "local_admin", words: &words, also: &[] });
}

fn refusing(scene: &mut Scene) {
    let host = SmartHost::start(Says::default());
    let config = config(&host.address.to_string(), "");
    let relayscope = rehearsal(&scene.place, &config);
    for number in 0..60 {
        send(relayscope.address(), &format!("usual{number}"), "ann@from.example", "bob@to.example");
    }
    age(&scene.place, &relayscope.stop(), &[2 * HOUR]);
    let relayscope = Relayscope::configured(&scene.place, &config);
    host.says(|it| it.rcpt = "550 5.7.1 Access denied by administrative policy".to_owned());
    scene.trouble();
    for number in 0..20 {
        let from = ["ann", "ben", "cleo", "dora"][number % 4];
        send(relayscope.address(), &format!("later{number}"), &format!("{from}@from.example"), "bob@to.example");
    }
    let words = ["to.example refuses far more than usual: 20 of 20"];
    scene.named(&Wanted { anomaly: "reject_ratio", cause: "policy_rejected", act: "recipient_side", words: &words, also: &[] });
}

fn dmarc(scene: &mut Scene) {
    let says = "550 5.7.26 Unauthenticated email from from.example is not accepted due to domain's DMARC policy";
    let host = SmartHost::start(Says { end_of_data: says.to_owned(), ..Says::default() });
    let relayscope = Relayscope::configured(&scene.place, &config(&host.address.to_string(), ""));
    scene.trouble();
    for number in 0..4 {
        send(relayscope.address(), &format!("m{number}"), "ann@from.example", "bob@to.example");
    }
    let words = ["to.example refuses mail of from.example because of SPF, DKIM or DMARC: 4 of 4", "DMARC policy"];
    scene.named(&Wanted { anomaly: "sender_auth_refused", cause: "spf_dkim_dmarc_failure", act: "local_admin", words: &words, also: &[] });
}
