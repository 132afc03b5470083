//! The own address has no name, and a receiver wants one.

use crate::receiver::{NEEDS, refusing};
use crate::report::Situation;
use crate::scene::{Scene, Wanted};
use crate::support::dns::Zones;

const CAUSE: &str = "9 reverse DNS";

pub const SITUATIONS: &[Situation] = &[
    Situation { cause: CAUSE, name: "no PTR record", needs: NEEDS, play: none },
    Situation { cause: CAUSE, name: "a PTR record whose name leads elsewhere", needs: NEEDS, play: elsewhere },
];

/// A receiver that wants to know the client's name.
fn play(scene: &mut Scene, restriction: &str, zones: &Zones) {
    let settings = format!("smtpd_peername_lookup = yes\nsmtpd_client_restrictions = {restriction}");
    let words = ["refuse mail because of reverse DNS", "cannot find your"];
    let wanted = Wanted { anomaly: "reverse_dns_refused", cause: "reverse_dns_missing", act: "local_admin", words: &words, also: &[] };
    refusing(scene, zones, &settings, &wanted);
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
