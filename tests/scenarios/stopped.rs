//! Mail servers that stopped, or hang.

use std::time::Duration;

use crate::report::Situation;
use crate::scene::{Scene, Wanted};
use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::postfix::Postfix;
use crate::support::relayscope::Relayscope;
use crate::traffic::{Traffic, send};

const CAUSE: &str = "4 stopped services";
const NEEDS: &[&str] = &["postfix", "root"];

pub const SITUATIONS: &[Situation] = &[
    Situation { cause: CAUSE, name: "the smart host's Postfix is stopped, mail waits in Postfix", needs: NEEDS, play: stopped },
    Situation { cause: CAUSE, name: "it hangs: connections are taken, no greeting comes", needs: NEEDS, play: hung },
    Situation { cause: CAUSE, name: "the mail server behind is stopped", needs: NEEDS, play: behind },
];

fn config(postfix: &Postfix, more: &str) -> String {
    format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n[[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\n{more}[anomaly.dns]\nenabled = false\n",
        postfix.address
    )
}

fn stopped(scene: &mut Scene) {
    let postfix = Postfix::behind(&scene.place, "");
    let relayscope = Relayscope::configured(&scene.place, &config(&postfix, ""));
    let retries = "minimal_backoff_time = 1s\nmaximal_backoff_time = 2s\nqueue_run_delay = 1s\n";
    let front = Postfix::front(&scene.place, relayscope.address(), retries);
    let deliver = |name: &str| {
        let mut client = Client::ready(front.address);
        assert_eq!(client.deliver(&Message::named(name)).unwrap().code, 250);
        client.quit();
    };
    deliver("before");
    front.log().expect("status=sent");
    let stopped = postfix.stop();
    scene.trouble();
    deliver("waiting");
    let words = ["Upstream main can't be reached", "connection refused", "last success"];
    scene.named(&Wanted { anomaly: "upstream_down", cause: "connection_failed", act: "smart_host", words: &words, also: &[] });
    drop(stopped);
}

fn hung(scene: &mut Scene) {
    let postfix = Postfix::behind(&scene.place, "");
    // A greeting is waited for five minutes, as RFC 5321 4.5.3.2.1 wants it; that it hangs is known only then.
    let relayscope = Relayscope::configured(&scene.place, &config(&postfix, "[limits.timeouts]\nbanner = \"10s\"\n"));
    send(relayscope.address(), "before", "ann@from.example", "bob@to.example");
    postfix.hang();
    scene.trouble();
    let traffic = Traffic::start(relayscope.address(), &["bob@to.example"], 4, Duration::from_secs(1));
    let words = ["Upstream main can't be reached", "connected, and then silent or closed"];
    scene.named(&Wanted { anomaly: "upstream_down", cause: "connection_failed", act: "smart_host", words: &words, also: &[] });
    drop(traffic);
    postfix.go_on();
}

fn behind(scene: &mut Scene) {
    let postfix = Postfix::behind(&scene.place, "");
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\ndirection = \"inbound\"\naccept_domains = [\"to.example\"]\n\
         [[upstream]]\nname = \"store\"\nkind = \"fixed\"\nhosts = [\"{}\"]\ntls = \"off\"\n[anomaly.dns]\nenabled = false\n",
        postfix.address
    );
    let relayscope = Relayscope::configured(&scene.place, &config);
    send(relayscope.address(), "before", "ann@from.example", "bob@to.example");
    drop(postfix);
    scene.trouble();
    let traffic = Traffic::start(relayscope.address(), &["bob@to.example"], 1, Duration::from_millis(500));
    let words = ["The mail server behind store can't be reached", "connection refused", "its mail service runs"];
    scene.named(&Wanted { anomaly: "upstream_down", cause: "connection_failed", act: "local_admin", words: &words, also: &[] });
    drop(traffic);
}
