//! A smart host that isn't what it always was: its TLS is weaker or gone, its certificate ends, it shows itself otherwise.

use std::fs;
use std::time::Duration;

use crate::history::{HOUR, age, rehearsal};
use crate::report::Situation;
use crate::scene::{Scene, Wanted};
use crate::support::certificates::{self, Certificates};
use crate::support::postfix::{Postfix, Stopped};
use crate::support::relayscope::Relayscope;
use crate::traffic::{Traffic, send};

const KIND: &str = "peers";
const NEEDS: &[&str] = &["postfix", "root"];

pub const SITUATIONS: &[Situation] = &[
    Situation { cause: KIND, name: "the smart host offers no STARTTLS any more", needs: NEEDS, play: stripped },
    Situation { cause: KIND, name: "it has TLS 1.2 at most", needs: NEEDS, play: older },
    Situation { cause: KIND, name: "its certificate is of an authority that isn't trusted", needs: NEEDS, play: untrusted },
    Situation { cause: KIND, name: "its certificate can't be read, it refuses STARTTLS", needs: NEEDS, play: unreadable },
    Situation { cause: KIND, name: "its certificate ends in ten days", needs: NEEDS, play: ending },
    Situation { cause: KIND, name: "it is replaced: another banner and size limit", needs: NEEDS, play: replaced },
    Situation { cause: KIND, name: "its certificate is of another authority", needs: NEEDS, play: reissued },
];

/// What makes a Postfix offer STARTTLS.
fn settings(certificates: &Certificates) -> String {
    format!(
        "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\n",
        certificates.certificate.display(),
        certificates.key.display()
    )
}

fn config(host: &Postfix, more: &str) -> String {
    format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n[[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\n{more}[anomaly.dns]\nenabled = false\n",
        host.address
    )
}

/// Three days with a Postfix that has TLS; then it changes.
fn changes(scene: &mut Scene, trust: bool, change: impl FnOnce(&Scene, &Certificates, Stopped) -> Postfix, wanted: &Wanted<'_>) {
    let certificates = certificates::make(&scene.place, "tls", &["127.0.0.1"]);
    let postfix = Postfix::behind(&scene.place, &settings(&certificates));
    let trusted = if trust { format!("ca_file = \"{}\"\n", certificates.authority.display()) } else { String::new() };
    let config = config(&postfix, &trusted);
    let relayscope = rehearsal(&scene.place, &config);
    for number in 0..10 {
        send(relayscope.address(), &format!("usual{number}"), "ann@from.example", "bob@to.example");
    }
    age(&scene.place, &relayscope.stop(), &[72 * HOUR, 48 * HOUR, 24 * HOUR, HOUR]);
    let relayscope = Relayscope::configured(&scene.place, &config);
    send(relayscope.address(), "before", "ann@from.example", "bob@to.example");
    let _postfix = change(scene, &certificates, postfix.stop());
    scene.trouble();
    let _traffic = Traffic::start(relayscope.address(), &["bob@to.example"], 1, Duration::from_secs(1));
    scene.named(wanted);
}

fn stripped(scene: &mut Scene) {
    let words = ["STARTTLS"];
    let wanted = Wanted { anomaly: "starttls_stripped", cause: "tls_failure", act: "local_admin", words: &words, also: &["peer_changed"] };
    changes(scene, false, |scene, _, postfix| postfix.without(&scene.place, "smtpd_tls"), &wanted);
}

fn older(scene: &mut Scene) {
    let words = ["TLS to 127.0.0.1:", " is weaker than it was: TLSv1.3 before, now TLSv1.2"];
    let wanted = Wanted { anomaly: "tls_downgrade", cause: "tls_failure", act: "local_admin", words: &words, also: &[] };
    changes(scene, false, |scene, _, postfix| postfix.with(&scene.place, "smtpd_tls_protocols = !TLSv1.3\n"), &wanted);
}

fn untrusted(scene: &mut Scene) {
    let words = ["TLS to 127.0.0.1:", " is weaker than it was: certificate verified before, now not verified: "];
    let also = &["peer_changed"];
    let wanted = Wanted { anomaly: "tls_downgrade", cause: "tls_failure", act: "local_admin", words: &words, also };
    let change = |scene: &Scene, _: &Certificates, postfix: Stopped| {
        let others = certificates::by_another(&scene.place, "others", &["127.0.0.1"]);
        postfix.with(&scene.place, &settings(&others))
    };
    changes(scene, true, change, &wanted);
}

/// As after a renewal that went wrong: Postfix offers STARTTLS all the same, and refuses it with a 454.
fn unreadable(scene: &mut Scene) {
    let words = ["TLS to 127.0.0.1:", " is weaker than it was: TLSv1.3 before, now in clear"];
    let also = &["peer_changed"];
    let wanted = Wanted { anomaly: "tls_downgrade", cause: "tls_failure", act: "local_admin", words: &words, also };
    let change = |scene: &Scene, certificates: &Certificates, postfix: Stopped| {
        fs::remove_file(&certificates.certificate).unwrap();
        postfix.start(&scene.place)
    };
    changes(scene, false, change, &wanted);
}

fn ending(scene: &mut Scene) {
    let certificates = certificates::ending_in(&scene.place, "tls", &["127.0.0.1"], 10);
    let postfix = Postfix::behind(&scene.place, &settings(&certificates));
    let relayscope = Relayscope::configured(&scene.place, &config(&postfix, ""));
    scene.trouble();
    send(relayscope.address(), "one", "ann@from.example", "bob@to.example");
    let words = ["the certificate of 127.0.0.1", "expires in "];
    scene.named(&Wanted { anomaly: "certificate_expiring", cause: "tls_failure", act: "smart_host", words: &words, also: &[] });
}

fn replaced(scene: &mut Scene) {
    let words = ["127.0.0.1:", " shows another banner, ", "size limit since", "behind.example ESMTP Postfix", "SIZE"];
    let wanted = Wanted { anomaly: "peer_changed", cause: "", act: "nobody", words: &words, also: &[] };
    let change = |scene: &Scene, _: &Certificates, postfix: Stopped| {
        postfix.with(&scene.place, "smtpd_banner = new.provider.example ESMTP MailGate\nmessage_size_limit = 10240000\n")
    };
    changes(scene, false, change, &wanted);
}

fn reissued(scene: &mut Scene) {
    let words = ["127.0.0.1:", " shows another certificate since", "relayscope test authority"];
    let wanted = Wanted { anomaly: "peer_changed", cause: "", act: "nobody", words: &words, also: &[] };
    let change = |scene: &Scene, _: &Certificates, postfix: Stopped| {
        let others = certificates::by_another(&scene.place, "others", &["127.0.0.1"]);
        postfix.with(&scene.place, &settings(&others))
    };
    changes(scene, false, change, &wanted);
}
