//! What an internet provider does, or has done to one: port 25 closed, an address on a block list.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use crate::firewall::{NEW_DROPPED, addresses, filter};
use crate::receiver;
use crate::report::Situation;
use crate::scene::{Scene, Wanted};
use crate::support::dns::{Dns, Zones};
use crate::support::netns::Network;
use crate::support::relayscope::Relayscope;
use crate::support::sink::{Manner, Sink};
use crate::traffic::Traffic;

const CAUSE: &str = "10 ISP blocks";
const PORTS: &[&str] = &["ip", "nft", "nsenter", "root"];

pub const SITUATIONS: &[Situation] = &[
    Situation { cause: CAUSE, name: "port 25 is dropped, 587 is open", needs: PORTS, play: dropped },
    Situation { cause: CAUSE, name: "port 25 is refused, 587 is open", needs: PORTS, play: refused },
    Situation {
        cause: CAUSE,
        name: "port 25 is refused, whatever domain mail goes to",
        needs: &["ip", "nft", "nsenter", "knotd", "knotc", "keymgr", "unbound", "unbound-control", "root"],
        play: everywhere,
    },
    Situation { cause: CAUSE, name: "the own address is on a block list", needs: receiver::NEEDS, play: listed },
];

/// A smart host of two addresses that takes mail on ports 25 and 587.
fn play(scene: &mut Scene, verdict: &str, wanted: &Wanted<'_>) {
    let Some(network) = Network::new() else { return scene.row.skipped = true };
    let all = addresses(&network.internet).flat_map(|ip| [25, 587].map(|port| SocketAddr::new(ip, port)));
    let _sinks: Vec<Sink> =
        all.map(|address| Sink::on(network.internet.within(|| TcpListener::bind(address).unwrap()), Manner::Take)).collect();
    let hosts: Vec<String> = addresses(&network.internet).map(|ip| format!("\"{ip}:25\"")).collect();
    // Two addresses, each of which would be waited for half a minute.
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n\
         [[upstream]]\nname = \"main\"\nhosts = [{}]\n[limits.timeouts]\nconnect = \"10s\"\n[anomaly.dns]\nenabled = false\n",
        hosts.join(", ")
    );
    let relayscope = Relayscope::on(&network.proxy, &scene.place, &config);
    let address = relayscope.address();
    let traffic = network.proxy.within(|| Traffic::start(address, &["bob@to.example"], 4, Duration::from_millis(500)));
    traffic.tried(8);
    filter(scene, &network.proxy, "25", verdict);
    scene.trouble();
    scene.named(wanted);
    drop(traffic);
    relayscope.kill();
}

fn dropped(scene: &mut Scene) {
    let words = ["Port 25 seems to be blocked", "port 587 or 465"];
    play(scene, NEW_DROPPED, &Wanted { anomaly: "port_blocked", cause: "port_blocked", act: "local_admin", words: &words, also: &[] });
}

/// Two addresses of one provider may be stopped as well as blocked: both is said, and how to find out.
fn refused(scene: &mut Scene) {
    let words = ["can't be reached", "connection refused", "blocked on the way: `relayscope doctor upstream main` tries 587 and 465"];
    let wanted = Wanted { anomaly: "upstream_down", cause: "connection_failed", act: "smart_host", words: &words, also: &[] };
    play(scene, "reject with tcp reset", &wanted);
}

fn everywhere(scene: &mut Scene) {
    let Some(network) = Network::new() else { return scene.row.skipped = true };
    let _sinks: Vec<Sink> = addresses(&network.internet)
        .map(|ip| Sink::on(network.internet.within(|| TcpListener::bind((ip, 25)).unwrap()), Manner::Take))
        .collect();
    let zones = ["a", "b", "c", "d"].iter().zip([2, 3].iter().cycle()).fold(Zones::new(), |zones, (domain, host)| {
        let exchanger = format!("mx.{domain}.example");
        zones.mx(&format!("{domain}.example"), 10, &exchanger).a(&exchanger, &format!("10.25.2.{host}"))
    });
    let _dns = Dns::start_on(&network.proxy, &scene.place, &zones);
    let config = "host_name = \"relay.example\"\n[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n\
         [[upstream]]\nname = \"internet\"\nkind = \"mx\"\nprivate_networks = [\"10.25.2.0/24\"]\n\
         [dns]\nservers = [\"127.0.0.1:53\"]\nhosts_file = false\n";
    let relayscope = Relayscope::on(&network.proxy, &scene.place, config);
    let address = relayscope.address();
    let recipients = ["bob@a.example", "carol@b.example", "dave@c.example", "eve@d.example"];
    let traffic = network.proxy.within(|| Traffic::start(address, &recipients, 2, Duration::from_millis(300)));
    traffic.tried(12);
    filter(scene, &network.proxy, "25", "reject with tcp reset");
    scene.trouble();
    let words = ["Port 25 seems to be blocked", "all refuse", "port 587 or 465"];
    scene.named(&Wanted { anomaly: "port_blocked", cause: "port_blocked", act: "local_admin", words: &words, also: &[] });
    drop(traffic);
    relayscope.kill();
}

fn listed(scene: &mut Scene) {
    let zones = Zones::new()
        .zone("zen.spamhaus.org")
        .record("1.2.25.10.zen.spamhaus.org", "A 127.0.0.2")
        .txt("1.2.25.10.zen.spamhaus.org", "https://check.spamhaus.org/query/ip/10.25.2.1");
    let settings = "smtpd_client_restrictions = reject_rbl_client zen.spamhaus.org=127.0.0.[2..11]";
    let words = ["Spamhaus (zen.spamhaus.org)", "https://check.spamhaus.org/"];
    let wanted = Wanted { anomaly: "blocklisted", cause: "blocklisted", act: "local_admin", words: &words, also: &[] };
    receiver::refusing(scene, &zones, settings, &wanted);
}
