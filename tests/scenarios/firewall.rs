//! A firewall between here and the smart host: packets vanish, or are refused.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use crate::report::Situation;
use crate::scene::{Scene, Wanted};
use crate::support::netns::{Host, Network};
use crate::support::postfix::Postfix;
use crate::support::process::run;
use crate::support::programs::path_of;
use crate::support::relayscope::Relayscope;
use crate::traffic::Traffic;

const CAUSE: &str = "2 firewall";
const NEEDS: &[&str] = &["ip", "nft", "nsenter", "postfix", "root"];

pub const SITUATIONS: &[Situation] = &[
    Situation { cause: CAUSE, name: "packets to the smart host's port 587 are dropped", needs: NEEDS, play: dropped },
    Situation { cause: CAUSE, name: "they are refused with an ICMP message", needs: NEEDS, play: prohibited },
    Situation { cause: CAUSE, name: "they are refused with a TCP reset", needs: NEEDS, play: reset },
];

/// Has the packet filter of a host do something with what leaves it for these ports.
pub fn filter(scene: &Scene, host: &Host, ports: &str, verdict: &str) {
    let rules = format!("table inet trouble {{\nchain out {{\ntype filter hook output priority 0\ntcp dport {ports} {verdict}\n}}\n}}\n");
    let file = scene.place.file("trouble.nft", rules);
    let (code, said) = run(&mut host.command(Command::new(path_of("nft")).arg("-f").arg(file)));
    assert_eq!(code, 0, "nft: {said}");
}

/// The smart host on the other side of the network, and mail through Relayscope to it.
fn play(scene: &mut Scene, verdict: &str, act: &str, words: &[&str]) {
    let Some(network) = Network::new() else { return scene.row.skipped = true };
    let there = SocketAddr::from(([10, 25, 2, 2], 587));
    let _postfix = Postfix::on_port(&network.internet, &scene.place, "provider", there, "");
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n\
         [[upstream]]\nname = \"main\"\nhosts = [\"{there}\"]\n[anomaly.dns]\nenabled = false\n"
    );
    let relayscope = Relayscope::on(&network.proxy, &scene.place, &config);
    let address = relayscope.address();
    let traffic = network.proxy.within(|| Traffic::start(address, &["bob@to.example"], 4, Duration::from_millis(500)));
    traffic.tried(8);
    filter(scene, &network.proxy, "587", verdict);
    scene.trouble();
    scene.named(&Wanted { anomaly: "upstream_down", cause: "connection_failed", act, words, also: &[] });
    drop(traffic);
    relayscope.kill();
}

/// A firewall that knows of connections lets those that are open go on.
pub const NEW_DROPPED: &str = "tcp flags & (syn | ack) == syn drop";

fn dropped(scene: &mut Scene) {
    play(scene, NEW_DROPPED, "network", &["Upstream main can't be reached", "no answer (timed out)", "firewall"]);
}

fn prohibited(scene: &mut Scene) {
    play(
        scene,
        "reject with icmpx admin-prohibited",
        "network",
        &["Upstream main can't be reached", "unreachable, says a router or firewall"],
    );
}

fn reset(scene: &mut Scene) {
    play(scene, "reject with tcp reset", "smart_host", &["Upstream main can't be reached", "connection refused", "firewall"]);
}

/// All the addresses of a host.
pub fn addresses(host: &Host) -> impl Iterator<Item = IpAddr> {
    host.addresses.iter().copied().filter(IpAddr::is_ipv4)
}
