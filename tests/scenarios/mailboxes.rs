//! Full mailboxes.

use std::time::Duration;

use crate::report::Situation;
use crate::scene::{Scene, Wanted};
use crate::support::dovecot::Dovecot;
use crate::support::postfix::Postfix;
use crate::support::relayscope::Relayscope;
use crate::traffic::{Traffic, send};

const CAUSE: &str = "7 full mailboxes";

pub const SITUATIONS: &[Situation] = &[
    Situation { cause: CAUSE, name: "Dovecot's quota, mail coming in by LMTP", needs: &["dovecot", "lmtp", "root"], play: own },
    Situation { cause: CAUSE, name: "a recipient's elsewhere", needs: &["postfix", "root"], play: elsewhere },
];

fn own(scene: &mut Scene) {
    let dovecot = Dovecot::start(&scene.place, "");
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\ndirection = \"inbound\"\naccept_domains = [\"to.example\"]\n\
         [[upstream]]\nname = \"store\"\nkind = \"fixed\"\nprotocol = \"lmtp\"\ntls = \"off\"\nhosts = [\"{}\"]\n[anomaly.dns]\nenabled = false\n\
         [anomaly.flow]\nfull_for = \"10s\"\n", // and not a day
        dovecot.address
    );
    let relayscope = Relayscope::configured(&scene.place, &config);
    send(relayscope.address(), "fits", "ann@from.example", "bob@to.example");
    scene.trouble();
    send(relayscope.address(), "full", "ann@from.example", "carol@to.example");
    scene.told("full@msg.example", "mailbox_full", "recipient_side", &[]);
    let _traffic = Traffic::start(relayscope.address(), &["carol@to.example", "bob@to.example"], 1, Duration::from_secs(1));
    let words = ["the mailbox carol@to.example is full", "Give the mailbox more room"];
    scene.named(&Wanted { anomaly: "mailbox_stays_full", cause: "mailbox_full", act: "local_admin", words: &words, also: &[] });
}

fn elsewhere(scene: &mut Scene) {
    let postfix = Postfix::behind(
        &scene.place,
        "smtpd_recipient_restrictions = check_recipient_access inline:{{carol@to.example = 552 5.2.2 Mailbox is over quota}}\n",
    );
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n[[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\n[anomaly.dns]\nenabled = false\n",
        postfix.address
    );
    let relayscope = Relayscope::configured(&scene.place, &config);
    scene.trouble();
    send(relayscope.address(), "full", "ann@from.example", "carol@to.example");
    send(relayscope.address(), "fits", "ann@from.example", "bob@to.example");
    scene.told("carol@to.example", "mailbox_full", "recipient_side", &["552"]);
    scene.no_incident(&[]);
}
