//! A smart host that doesn't know us any more, or whom we can't trust any more, or that is slow.

use std::process::Command;
use std::time::Duration;

use crate::history::{HOUR, age, rehearsal};
use crate::report::Situation;
use crate::scene::{Scene, Wanted};
use crate::smart_host::{Says, SmartHost};
use crate::support::certificates::{self, Certificates};
use crate::support::postfix::Postfix;
use crate::support::process::run;
use crate::support::relayscope::Relayscope;
use crate::traffic::{Traffic, send};

const CAUSE: &str = "8 smart host, limits";
const NEEDS: &[&str] = &["postfix", "root", "saslpasswd2"];

pub const SITUATIONS: &[Situation] = &[
    Situation { cause: CAUSE, name: "the proxy's password is refused", needs: NEEDS, play: password },
    Situation { cause: CAUSE, name: "it is slow to take messages", needs: &[], play: slow },
    Situation { cause: CAUSE, name: "its certificate has expired, and is required", needs: NEEDS, play: certificate },
];

fn config(scene: &Scene, postfix: &Postfix, certificates: &Certificates, password: &str) -> String {
    let file = scene.place.file("password", password);
    run(Command::new("chmod").arg("600").arg(&file));
    format!(
        "host_name = \"relay.example\"\n[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n\
         [[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\ntls = \"required\"\nca_file = \"{}\"\n\
         [upstream.auth]\nuser = \"ann@submission.example\"\npassword_file = \"{}\"\n[anomaly.dns]\nenabled = false\n",
        postfix.address,
        certificates.authority.display(),
        file.display(),
    )
}

fn password(scene: &mut Scene) {
    let certificates = certificates::make(&scene.place, "tls", &["127.0.0.1"]);
    let postfix = Postfix::submission(&scene.place, &certificates, &[("ann", "right")]);
    let relayscope = Relayscope::configured(&scene.place, &config(scene, &postfix, &certificates, "wrong"));
    scene.trouble();
    let traffic = Traffic::start(relayscope.address(), &["bob@to.example"], 1, Duration::from_secs(1));
    let words = ["The proxy's login as ann@submission.example at upstream main fails", "authentication failed", "`[upstream.auth]`"];
    scene.named(&Wanted { anomaly: "auth_all_fail", cause: "auth_failed", act: "local_admin", words: &words, also: &[] });
    drop(traffic);
}

fn slow(scene: &mut Scene) {
    let host = SmartHost::start(Says::default());
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n[[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\n[anomaly.dns]\nenabled = false\n",
        host.address
    );
    let relayscope = rehearsal(&scene.place, &config);
    for number in 0..30 {
        send(relayscope.address(), &format!("usual{number}"), "ann@from.example", "bob@to.example");
    }
    // What is usual there is known from five times as much, over four hours.
    age(&scene.place, &relayscope.stop(), &[5 * HOUR, 4 * HOUR, 3 * HOUR, 2 * HOUR, HOUR]);
    let relayscope = Relayscope::configured(&scene.place, &config);
    host.says(|it| it.pause = Duration::from_secs(6));
    scene.trouble();
    let traffic = Traffic::start(relayscope.address(), &["bob@to.example"], 6, Duration::from_millis(100));
    let words = ["is slow since", "the reply to end-of-data takes 6."];
    scene.named(&Wanted { anomaly: "upstream_slow", cause: "remote_system_error", act: "smart_host", words: &words, also: &[] });
    drop(traffic);
}

fn certificate(scene: &mut Scene) {
    let certificates = certificates::expired(&scene.place, "tls", &["127.0.0.1"]);
    let postfix = Postfix::submission(&scene.place, &certificates, &[("ann", "right")]);
    let relayscope = Relayscope::configured(&scene.place, &config(scene, &postfix, &certificates, "right"));
    scene.trouble();
    let traffic = Traffic::start(relayscope.address(), &["bob@to.example"], 1, Duration::from_secs(1));
    let words = ["Upstream main can't be used", "certificate expired 2021-01-01", "must renew it"];
    scene.named(&Wanted {
        anomaly: "upstream_down",
        cause: "tls_failure",
        act: "smart_host",
        words: &words,
        also: &["certificate_expiring"],
    });
    drop(traffic);
}
