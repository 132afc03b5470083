//! The own address has no name, and a receiver wants one.

use std::net::SocketAddr;
use std::time::Duration;

use crate::report::Situation;
use crate::scene::{Scene, Wanted};
use crate::support::dns::{Dns, Zones};
use crate::support::netns::Network;
use crate::support::postfix::Postfix;
use crate::support::relayscope::Relayscope;
use crate::traffic::Traffic;

const CAUSE: &str = "9 reverse DNS";
const NEEDS: &[&str] = &["ip", "nsenter", "unshare", "mount", "knotd", "knotc", "keymgr", "unbound", "unbound-control", "postfix", "root"];

pub const SITUATIONS: &[Situation] = &[
    Situation { cause: CAUSE, name: "no PTR record", needs: NEEDS, play: none },
    Situation { cause: CAUSE, name: "a PTR record whose name leads elsewhere", needs: NEEDS, play: elsewhere },
];

/// A receiver that looks the client's name up, in a DNS of its own.
fn play(scene: &mut Scene, restriction: &str, zones: &Zones) {
    let Some(network) = Network::new() else { return scene.row.skipped = true };
    let _dns = Dns::start_on(&network.internet, &scene.place, zones);
    let strict = format!("smtpd_peername_lookup = yes\nsmtp_dns_support_level = enabled\nsmtpd_client_restrictions = {restriction}\n");
    let there = SocketAddr::from(([10, 25, 2, 2], 25));
    let _postfix = Postfix::resolving(&network.internet, &scene.place, "receiver", there, &strict);
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n\
         [[upstream]]\nname = \"main\"\nhosts = [\"{there}\"]\n[anomaly.dns]\nenabled = false\n"
    );
    let relayscope = Relayscope::on(&network.proxy, &scene.place, &config);
    let address = relayscope.address();
    scene.trouble();
    let traffic = network.proxy.within(|| Traffic::start(address, &["bob@to.example"], 1, Duration::from_millis(700)));
    let words = ["refuse mail because of reverse DNS", "cannot find your"];
    scene.named(&Wanted { anomaly: "reverse_dns_refused", cause: "reverse_dns_missing", act: "local_admin", words: &words, also: &[] });
    drop(traffic);
    relayscope.kill();
}

fn none(scene: &mut Scene) {
    let zones = Zones::new().zone("25.10.in-addr.arpa");
    play(scene, "reject_unknown_reverse_client_hostname", &zones);
}

fn elsewhere(scene: &mut Scene) {
    let zones = Zones::new()
        .zone("25.10.in-addr.arpa")
        .record("1.2.25.10.in-addr.arpa", "PTR relay.from.example.")
        .a("relay.from.example", "198.18.0.99");
    play(scene, "reject_unknown_client_hostname", &zones);
}
