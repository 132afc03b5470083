//! Which versions of TLS a server speaks: each is offered alone, on a connection of its own.

use std::time::Instant;

use super::super::Check;
use super::super::dialogue::{Dialogue, Trouble};
use super::visit::Visit;
use crate::net::proxy_header::encode_local;
use crate::net::tls::ClientTls;
use crate::relay::options::UpstreamTls;
use crate::smtp::Stage;

pub(super) async fn check(visit: &Visit<'_>) -> Check {
    let why = "TLS 1.3 is the present version, 1.2 what older servers have; relayscope speaks nothing below";
    let check = visit.asking("tls_versions", format!("TLS 1.2 and TLS 1.3 at {}, each by itself", visit.place), why);
    let Ok([two, three]) = visit.client_tls.by_version() else { return check.skipped("TLS can't be set up by version here") };
    let began = Instant::now();
    let (two, three) = tokio::join!(shake(visit, &two), shake(visit, &three));
    let check = check.took(began.elapsed());
    match (two, three) {
        (Ok(()), Ok(())) => check.ok("both"),
        (Err(why), Ok(())) => check.ok(format!("TLS 1.3; not 1.2 ({why})")),
        (Ok(()), Err(why)) => check.ok(format!("TLS 1.2; not 1.3 ({why})")),
        (Err(why), Err(_)) => check.warn(
            format!("neither by itself, though a handshake that offers both succeeded ({why})"),
            "The server limits connections, or something before it meddles with TLS: ask again in a minute.",
        ),
    }
}

/// The way to a handshake, and nothing behind it.
async fn shake(visit: &Visit<'_>, tls: &ClientTls) -> Result<(), String> {
    let dialogue = up_to_tls(visit).await?;
    let dialogue = dialogue.secure(tls, visit.host).await.map_err(|trouble: Trouble| trouble.words)?;
    dialogue.quit().await;
    Ok(())
}

/// A connection on which a handshake is the next thing to come.
pub(super) async fn up_to_tls(visit: &Visit<'_>) -> Result<Dialogue, String> {
    let mut dialogue = Dialogue::open(visit.address, visit.mark, visit.patience).await.map_err(|error| error.to_string())?;
    let words = |trouble: Trouble| trouble.words;
    if visit.proxy_header {
        dialogue.send(Stage::Connect, &encode_local()).await.map_err(words)?;
    }
    if visit.tls != UpstreamTls::Implicit {
        dialogue.expect(Stage::Banner, 220).await.map_err(words)?;
        dialogue.greet(if visit.lmtp { "LHLO" } else { "EHLO" }, visit.host_name).await.map_err(words)?;
        dialogue.send(Stage::StartTls, b"STARTTLS\r\n").await.map_err(words)?;
        dialogue.expect(Stage::StartTls, 220).await.map_err(words)?;
    }
    Ok(dialogue)
}
