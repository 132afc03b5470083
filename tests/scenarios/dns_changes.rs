//! What a zone publishes is changed, and mail fails since. Its records may be kept for a second, not for hours: what a resolver remembers is no
//! change yet.

use std::net::TcpListener;
use std::time::Duration;

use crate::report::Situation;
use crate::scene::{Scene, Wanted};
use crate::smart_host::{Says, SmartHost};
use crate::support::dns::{Dns, Zones};
use crate::support::postfix::Postfix;
use crate::support::relayscope::Relayscope;
use crate::support::sink::{Manner, Sink};
use crate::traffic::Traffic;

const CAUSE: &str = "1 DNS changes";
const DNS: &[&str] = &["knotd", "knotc", "keymgr", "unbound", "unbound-control"];

pub const SITUATIONS: &[Situation] = &[
    Situation {
        cause: CAUSE,
        name: "the MX record leads to a server that doesn't know the domain",
        needs: &["knotd", "knotc", "keymgr", "unbound", "unbound-control", "postfix", "root"],
        play: mx,
    },
    Situation { cause: CAUSE, name: "the smart host is taken out of the SPF record", needs: DNS, play: spf },
    Situation { cause: CAUSE, name: "the PTR record of the own address is gone", needs: DNS, play: ptr },
];

const PACE: Duration = Duration::from_millis(300);

fn mx(scene: &mut Scene) {
    let strict = "mynetworks = 192.0.2.1\nsmtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n";
    let stranger = Postfix::behind(&scene.place, strict);
    let port = stranger.address.port();
    let _usual = Sink::on(TcpListener::bind(("127.1.0.1", port)).unwrap(), Manner::Take);
    let hosts = Zones::lasting(1).a("mx.moved.example", "127.1.0.1").a("new.moved.example", "127.0.0.1");
    let dns = Dns::start(&scene.place, &hosts.clone().mx("moved.example", 10, "mx.moved.example"));
    let config = format!(
        "host_name = \"relay.example\"\n[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n\
         [[upstream]]\nname = \"internet\"\nkind = \"mx\"\nport = {port}\nprivate_networks = [\"127.0.0.0/8\"]\n\
         [dns]\nservers = [\"{}\"]\nhosts_file = false\n",
        dns.resolver_address()
    );
    let relayscope = Relayscope::configured(&scene.place, &config);
    let traffic = Traffic::start(relayscope.address(), &["bob@moved.example"], 1, PACE);
    traffic.tried(10);
    dns.replace(&hosts.mx("moved.example", 10, "new.moved.example"));
    scene.trouble();
    let words = ["MX of moved.example changed", "10 mx.moved.example is now 10 new.moved.example", "before the first failure"];
    scene.named(&Wanted { anomaly: "dns_changed", cause: "", act: "recipient_side", words: &words, also: &[] });
    scene.told("bob@moved.example", "relay_denied", "recipient_side", &["Relay access denied"]);
}

/// A smart host whose replies are a receiver's, and a DNS that is watched.
fn watched(scene: &Scene, dns: &Dns, host: &SmartHost) -> Relayscope {
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n[[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\n\
         [dns]\nservers = [\"{}\"]\nhosts_file = false\n\
         [log]\nfilter = \"relayscope::app::watching=debug\"\n\
         [doctor]\nsending_addresses = [\"198.18.0.25\"]\n\
         [anomaly.dns]\nevery = \"1m\"\n", // and not an hour, within which a change is found without failures
        host.address,
        dns.resolver_address()
    );
    Relayscope::configured(&scene.place, &config)
}

/// Waits until the watch knows how it was before; it says so at level debug.
fn looked_at(relayscope: &Relayscope, what: &str) {
    relayscope.output().expect(&format!("the DNS watch took an answer what={what} answer=\"1 record\""));
}

fn spf(scene: &mut Scene) {
    let zones =
        |spf: &str| Zones::lasting(1).txt("from.example", spf).mx("to.example", 10, "mx.to.example").a("mx.to.example", "198.18.0.1");
    let before = "v=spf1 include:_spf.provider.example -all";
    let dns = Dns::start(&scene.place, &zones(before));
    let host = SmartHost::start(Says::default());
    let relayscope = watched(scene, &dns, &host);
    let _traffic = Traffic::start(relayscope.address(), &["bob@to.example"], 1, PACE);
    looked_at(&relayscope, "Spf of=\"from.example\"");
    dns.replace(&zones("v=spf1 mx -all"));
    host.says(|it| it.end_of_data = "550 5.7.23 The message was rejected because of Sender Policy Framework violation".to_owned());
    scene.trouble();
    let words = ["SPF of from.example changed", before, "v=spf1 mx -all", "before"];
    let also = &["sender_auth_refused"];
    scene.named(&Wanted { anomaly: "dns_changed", cause: "", act: "local_admin", words: &words, also });
}

fn ptr(scene: &mut Scene) {
    let zones = || Zones::lasting(1).zone("18.198.in-addr.arpa").mx("to.example", 10, "mx.to.example").txt("from.example", "v=spf1 -all");
    let dns = Dns::start(&scene.place, &zones().record("25.0.18.198.in-addr.arpa", "PTR mail.from.example."));
    let host = SmartHost::start(Says::default());
    let relayscope = watched(scene, &dns, &host);
    let _traffic = Traffic::start(relayscope.address(), &["bob@to.example"], 1, PACE);
    looked_at(&relayscope, "Ptr of=\"198.18.0.25\"");
    dns.replace(&zones());
    host.says(|it| it.rcpt = "550 5.7.25 Client host rejected: cannot find your reverse hostname, [198.18.0.25]".to_owned());
    scene.trouble();
    let words = ["PTR of 198.18.0.25 changed", "mail.from.example is now nothing", "before"];
    let also = &["reverse_dns_refused"];
    scene.named(&Wanted { anomaly: "dns_changed", cause: "", act: "network", words: &words, also });
}
