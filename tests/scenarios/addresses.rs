//! Addresses that don't exist: one letter, or a domain, was misspelt.

use std::time::Duration;

use crate::report::Situation;
use crate::scene::{Scene, Wanted};
use crate::support::dns::{Dns, Zones};
use crate::support::postfix::Postfix;
use crate::support::relayscope::Relayscope;
use crate::support::sink::on_addresses;
use crate::traffic::{Traffic, send};

const CAUSE: &str = "6 misspelt addresses";

pub const SITUATIONS: &[Situation] = &[
    Situation { cause: CAUSE, name: "one letter of a mailbox's name", needs: &["postfix", "root"], play: mailbox },
    Situation {
        cause: CAUSE,
        name: "one letter of a domain",
        needs: &["knotd", "knotc", "keymgr", "unbound", "unbound-control"],
        play: domain,
    },
];

fn mailbox(scene: &mut Scene) {
    let postfix = Postfix::behind(&scene.place, "");
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n[[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\n[anomaly.dns]\nenabled = false\n",
        postfix.address
    );
    let relayscope = Relayscope::configured(&scene.place, &config);
    for number in 0..3 {
        send(relayscope.address(), &format!("right{number}"), "ann@from.example", "carol@to.example");
    }
    scene.trouble();
    send(relayscope.address(), "wrong", "ann@from.example", "carrol@to.example");
    scene.told("carrol@to.example", "recipient_unknown", "sender", &["carol@to.example"]);
    // Somebody's address book has it: it comes again.
    let _traffic = Traffic::start(relayscope.address(), &["carrol@to.example", "carol@to.example"], 1, Duration::from_secs(1));
    let words = ["carol@to.example is meant, perhaps", "correct the address to carol@to.example"];
    scene.named(&Wanted { anomaly: "address_unknown", cause: "recipient_unknown", act: "sender", words: &words, also: &[] });
}

fn domain(scene: &mut Scene) {
    let ([_host], port) = on_addresses(["127.1.0.1"]);
    let dns =
        Dns::start(&scene.place, &Zones::new().mx("customer.example", 10, "mx.customer.example").a("mx.customer.example", "127.1.0.1"));
    let config = format!(
        "host_name = \"relay.example\"\n[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n\
         [[upstream]]\nname = \"internet\"\nkind = \"mx\"\nport = {port}\nprivate_networks = [\"127.0.0.0/8\"]\n\
         [dns]\nservers = [\"{}\"]\nhosts_file = false\n",
        dns.resolver_address()
    );
    let relayscope = Relayscope::configured(&scene.place, &config);
    for number in 0..3 {
        send(relayscope.address(), &format!("right{number}"), "ann@from.example", "bob@customer.example");
    }
    scene.trouble();
    send(relayscope.address(), "wrong", "ann@from.example", "bob@custmer.example");
    scene.told("bob@custmer.example", "domain_not_found", "sender", &["bob@customer.example"]);
    scene.no_incident(&[]);
}
