//! A receiver of somebody else's that looks the sender's address up, in a DNS of its own, and refuses it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::scene::{Scene, Wanted};
use crate::support::dns::{Dns, Zones};
use crate::support::netns::Network;
use crate::support::postfix::Postfix;
use crate::support::relayscope::Relayscope;
use crate::traffic::Traffic;

pub const NEEDS: &[&str] =
    &["ip", "nsenter", "unshare", "mount", "knotd", "knotc", "keymgr", "unbound", "unbound-control", "postfix", "root"];

/// Mail goes from 10.25.2.1 to a Postfix with these settings beside those for DNS.
pub fn refusing(scene: &mut Scene, zones: &Zones, settings: &str, wanted: &Wanted<'_>) {
    let Some(network) = Network::new() else { return scene.row.skipped = true };
    let _dns = Dns::start_on(&network.internet, &scene.place, zones);
    let there = SocketAddr::from(([10, 25, 2, 2], 25));
    let settings = format!("smtp_dns_support_level = enabled\n{settings}\n");
    let _postfix = Postfix::resolving(&network.internet, &scene.place, "receiver", there, &settings);
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n\
         [[upstream]]\nname = \"main\"\nhosts = [\"{there}\"]\n[anomaly.dns]\nenabled = false\n"
    );
    let relayscope = Relayscope::on(&network.proxy, &scene.place, &config);
    let address = relayscope.address();
    scene.trouble();
    let traffic = network.proxy.within(|| Traffic::start(address, &["bob@to.example"], 1, Duration::from_millis(700)));
    scene.named(wanted);
    drop(traffic);
    relayscope.kill();
}
