//! Visitors from outside who are up to something: they collect addresses, look for an open relay, smuggle, inject, scan.

use crate::report::Situation;
use crate::scene::{Scene, Wanted};
use crate::support::client::Client;
use crate::support::postfix::Postfix;
use crate::support::relayscope::Relayscope;
use crate::traffic::send;

const KIND: &str = "strangers";
const NEEDS: &[&str] = &["postfix", "root"];

pub const SITUATIONS: &[Situation] = &[
    Situation { cause: KIND, name: "a client tries addresses", needs: NEEDS, play: harvest },
    Situation { cause: KIND, name: "a client looks for an open relay", needs: NEEDS, play: relay },
    Situation { cause: KIND, name: "a message holds a smuggled end", needs: NEEDS, play: smuggling },
    Situation { cause: KIND, name: "commands lie behind STARTTLS", needs: NEEDS, play: injection },
    Situation { cause: KIND, name: "a browser speaks HTTP to the port", needs: NEEDS, play: scanner },
    Situation { cause: KIND, name: "a wave of bounces comes in", needs: NEEDS, play: bounces },
];

/// Mail that comes in for `to.example`.
fn inbound(scene: &Scene) -> (Postfix, Relayscope) {
    let postfix = Postfix::behind(&scene.place, "");
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"offered\"\ndirection = \"inbound\"\naccept_domains = [\"to.example\"]\n\
         [[upstream]]\nname = \"store\"\nkind = \"fixed\"\nhosts = [\"{}\"]\ntls = \"off\"\n[anomaly.dns]\nenabled = false\n",
        postfix.address
    );
    let relayscope = Relayscope::configured(&scene.place, &config);
    for number in 0..3 {
        send(relayscope.address(), &format!("usual{number}"), "ann@from.example", "bob@to.example");
    }
    (postfix, relayscope)
}

fn harvest(scene: &mut Scene) {
    let (_postfix, relayscope) = inbound(scene);
    scene.trouble();
    for number in 0..25 {
        send(relayscope.address(), &format!("try{number}"), "x@elsewhere.example", &format!("user{number}@to.example"));
    }
    // It is told from 20 on: how many they were by then depends on the moment of the judgement.
    let words = ["tries addresses: 2", " unknown recipients"];
    scene.named(&Wanted { anomaly: "directory_harvest", cause: "recipient_unknown", act: "local_admin", words: &words, also: &[] });
}

fn relay(scene: &mut Scene) {
    let (_postfix, relayscope) = inbound(scene);
    scene.trouble();
    for number in 0..5 {
        send(relayscope.address(), &format!("probe{number}"), "x@elsewhere.example", &format!("victim{number}@else.example"));
    }
    let words = ["refused 5 times"];
    scene.named(&Wanted { anomaly: "open_relay_probes", cause: "relay_denied", act: "local_admin", words: &words, also: &[] });
}

fn smuggling(scene: &mut Scene) {
    let (_postfix, relayscope) = inbound(scene);
    scene.trouble();
    let mut client = Client::ready(relayscope.address());
    client.command("MAIL FROM:<x@elsewhere.example>", 250);
    client.command("RCPT TO:<bob@to.example>", 250);
    client.command("DATA", 354);
    client
        .send("Subject: two in one\r\n\r\nfirst\n.\r\nMAIL FROM:<boss@to.example>\r\nRCPT TO:<bob@to.example>\r\nDATA\r\nsecond\r\n.\r\n");
    client.expect(554);
    drop(client);
    let words = ["a lone dot between bare line ends"];
    scene.named(&Wanted { anomaly: "smuggling_attempts", cause: "", act: "local_admin", words: &words, also: &[] });
}

fn injection(scene: &mut Scene) {
    let (_postfix, relayscope) = inbound(scene);
    scene.trouble();
    let mut client = Client::ready(relayscope.address());
    client.send("STARTTLS\r\nMAIL FROM:<x@elsewhere.example>\r\n");
    client.rest();
    let words = ["127.0.0.1"];
    scene.named(&Wanted { anomaly: "tls_injection", cause: "", act: "local_admin", words: &words, also: &[] });
}

fn scanner(scene: &mut Scene) {
    let postfix = Postfix::behind(&scene.place, "");
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n[[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\n[anomaly.dns]\nenabled = false\n",
        postfix.address
    );
    let relayscope = Relayscope::configured(&scene.place, &config);
    scene.trouble();
    for _ in 0..12 {
        let mut client = Client::connect(relayscope.address());
        client.expect(220);
        client.try_send("GET / HTTP/1.1\r\nHost: relay.example\r\n\r\n");
        client.rest();
    }
    let words = ["12 sessions", "spoke another protocol"];
    scene.named(&Wanted { anomaly: "scanner", cause: "", act: "local_admin", words: &words, also: &[] });
}

fn bounces(scene: &mut Scene) {
    let (_postfix, relayscope) = inbound(scene);
    scene.trouble();
    for number in 0..55 {
        send(relayscope.address(), &format!("bounce{number}"), "", "bob@to.example");
    }
    let words = ["bounces to bob@to.example", "backscatter"];
    scene.named(&Wanted { anomaly: "bounce_wave", cause: "", act: "local_admin", words: &words, also: &[] });
}
