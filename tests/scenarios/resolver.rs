//! DNS that doesn't answer: the resolver, or the servers of one domain. Names may be kept for a second, so that it shows at once.

use std::time::Duration;

use crate::report::Situation;
use crate::scene::{Scene, Wanted};
use crate::support::dns::{Dns, Zones};
use crate::support::relayscope::Relayscope;
use crate::support::sink::on_addresses;
use crate::traffic::{Traffic, send};

const CAUSE: &str = "5 resolver trouble";
const NEEDS: &[&str] = &["knotd", "knotc", "keymgr", "unbound", "unbound-control"];

pub const SITUATIONS: &[Situation] = &[
    Situation { cause: CAUSE, name: "the resolver is stopped", needs: NEEDS, play: stopped },
    Situation { cause: CAUSE, name: "the resolver hangs", needs: NEEDS, play: hung },
    Situation { cause: CAUSE, name: "one domain's name server has lost the zone", needs: NEEDS, play: one_domain },
    Situation { cause: CAUSE, name: "the smart host's own name can't be looked up", needs: NEEDS, play: smart_host },
];

const RECIPIENTS: &[&str] = &["bob@a.example", "carol@b.example", "dave@c.example", "eve@d.example"];

fn zones() -> Zones {
    ["a", "b", "c", "d"].iter().fold(Zones::lasting(1), |zones, domain| zones.mx(&format!("{domain}.example"), 10, "mx.hosts.example"))
}

fn relayscope(scene: &Scene, dns: &Dns, port: u16, more: &str) -> Relayscope {
    let config = format!(
        "host_name = \"relay.example\"\n[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n\
         [[upstream]]\nname = \"internet\"\nkind = \"mx\"\nport = {port}\nprivate_networks = [\"127.0.0.0/8\"]\n\
         [dns]\nservers = [\"{}\"]\nhosts_file = false\n{more}",
        dns.resolver_address()
    );
    Relayscope::configured(&scene.place, &config)
}

/// Mail to four domains passes, then `breaks`.
fn all_names(scene: &mut Scene, breaks: impl FnOnce(&mut Dns)) {
    let ([_host], port) = on_addresses(["127.1.0.1"]);
    let mut dns = Dns::start(&scene.place, &zones().a("mx.hosts.example", "127.1.0.1"));
    let relayscope = relayscope(scene, &dns, port, "");
    let traffic = Traffic::start(relayscope.address(), RECIPIENTS, 4, Duration::from_millis(300));
    traffic.tried(8);
    breaks(&mut dns);
    scene.trouble();
    let words = ["DNS fails: ", "names can't be looked up", "resolver"];
    scene.named(&Wanted { anomaly: "dns_failing", cause: "dns_failure", act: "local_admin", words: &words, also: &[] });
    drop(traffic);
}

fn stopped(scene: &mut Scene) {
    all_names(scene, Dns::stop_resolver);
}

fn hung(scene: &mut Scene) {
    all_names(scene, |dns| dns.hang_resolver());
}

fn one_domain(scene: &mut Scene) {
    let ([_host], port) = on_addresses(["127.1.0.1"]);
    let dns = Dns::start(&scene.place, &zones().a("mx.hosts.example", "127.1.0.1").dead("lost.example"));
    // It is an incident after an hour; a mail server tries often enough within it.
    let relayscope = relayscope(scene, &dns, port, "[anomaly.upstream]\ndns_domain_after = \"10s\"\n");
    scene.trouble();
    send(relayscope.address(), "to-the-lost", "ann@from.example", "bob@lost.example");
    let _others = Traffic::start(relayscope.address(), RECIPIENTS, 1, Duration::from_millis(300));
    let traffic = Traffic::start(relayscope.address(), &["bob@lost.example"], 1, Duration::from_millis(700));
    let words = ["The DNS of lost.example fails", "while other names are answered"];
    scene.named(&Wanted { anomaly: "dns_failing", cause: "dns_failure", act: "recipient_side", words: &words, also: &[] });
    scene.told("bob@lost.example", "dns_failure", "network", &["SERVFAIL"]);
    drop(traffic);
}

fn smart_host(scene: &mut Scene) {
    let ([_host], port) = on_addresses(["127.1.0.1"]);
    let mut dns = Dns::start(&scene.place, &Zones::lasting(1).a("smtp.provider.example", "127.1.0.1"));
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n[[upstream]]\nname = \"main\"\nhosts = [\"smtp.provider.example:{port}\"]\n\
         [dns]\nservers = [\"{}\"]\nhosts_file = false\n",
        dns.resolver_address()
    );
    let relayscope = Relayscope::configured(&scene.place, &config);
    let traffic = Traffic::start(relayscope.address(), &["bob@to.example"], 2, Duration::from_millis(500));
    traffic.tried(4);
    dns.stop_resolver();
    scene.trouble();
    let words = ["smtp.provider.example", "can't be looked up"];
    scene.named(&Wanted { anomaly: "dns_failing", cause: "dns_failure", act: "network", words: &words, also: &[] });
    drop(traffic);
}
