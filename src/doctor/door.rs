//! The way into a server, up to where commands about mail may be said: PROXY header, greeting, EHLO, TLS where it is needed.

use std::net::SocketAddr;
use std::time::Duration;

use super::dialogue::{Dialogue, Offer, Trouble, in_words};
use crate::net::connect::ConnectError;
use crate::net::proxy_header::encode_local;
use crate::net::tls::ClientTls;
use crate::relay::options::UpstreamTls;
use crate::smtp::Stage;

/// A server, and how it is entered. The certificate isn't looked at: nothing secret is said behind it.
#[derive(Clone)]
pub struct Door {
    pub address: SocketAddr,
    /// For the server's name in the handshake.
    pub host: String,
    /// Ours, for EHLO.
    pub host_name: String,
    pub lmtp: bool,
    pub mark: Option<u32>,
    /// Begin with a PROXY v2 header that speaks for nobody.
    pub proxy_header: bool,
    pub tls: UpstreamTls,
    pub client_tls: ClientTls,
    pub patience: Duration,
}

impl Door {
    /// Greeted, EHLO said, and said again within TLS where there is any.
    ///
    /// # Errors
    /// It can't be entered.
    pub async fn enter(&self) -> Result<(Dialogue, Offer), Trouble> {
        let (dialogue, offer) = self.enter_in_clear().await?;
        if matches!(self.tls, UpstreamTls::Off | UpstreamTls::Implicit) || !offer.extensions.starttls {
            return Ok((dialogue, offer));
        }
        let mut dialogue = self.start_tls(dialogue).await?;
        let offer = dialogue.greet(self.verb(), &self.host_name).await?;
        Ok((dialogue, offer))
    }

    /// The same without STARTTLS.
    ///
    /// # Errors
    /// It can't be entered.
    pub async fn enter_in_clear(&self) -> Result<(Dialogue, Offer), Trouble> {
        let mut dialogue = Dialogue::open(self.address, self.mark, self.patience).await.map_err(unreachable)?;
        if self.proxy_header {
            dialogue.send(Stage::Connect, &encode_local()).await?;
        }
        if self.tls == UpstreamTls::Implicit {
            dialogue = dialogue.secure(&self.client_tls, &self.host).await?;
        }
        dialogue.expect(Stage::Banner, 220).await?;
        let offer = dialogue.greet(self.verb(), &self.host_name).await?;
        Ok((dialogue, offer))
    }

    async fn start_tls(&self, mut dialogue: Dialogue) -> Result<Dialogue, Trouble> {
        let reply = dialogue.say(Stage::StartTls, "STARTTLS").await?;
        if reply.code != 220 {
            return Err(Trouble {
                stage: Stage::StartTls,
                words: format!("answered STARTTLS with {}", in_words(&reply)),
                reply: Some(reply),
            });
        }
        dialogue.secure(&self.client_tls, &self.host).await
    }

    fn verb(&self) -> &'static str {
        if self.lmtp { "LHLO" } else { "EHLO" }
    }
}

fn unreachable(error: ConnectError) -> Trouble {
    Trouble { stage: Stage::Connect, words: format!("can't be reached: {error}"), reply: None }
}
