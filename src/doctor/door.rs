//! The way into a server, up to where commands about mail may be said: PROXY header, greeting, EHLO, TLS where it is needed, XCLIENT.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::dialogue::{Dialogue, Offer, Trouble, in_words};
use crate::net::connect::ConnectError;
use crate::net::proxy_header::{encode, encode_local};
use crate::net::tls::ClientTls;
use crate::relay::options::UpstreamTls;
use crate::smtp::Stage;

/// Of the client that a PROXY header names: there is none, and any will do.
const PORT: u16 = 49_152;

/// Who the server is told that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Introduction {
    /// It sees this machine.
    Silent,
    /// A PROXY v2 header that speaks for nobody: it sees this machine.
    Local,
    /// A PROXY v2 header in the name of a client.
    Header(IpAddr),
    /// XCLIENT in the name of a client, behind TLS.
    Xclient(IpAddr),
}

impl Introduction {
    /// The client that is named.
    pub fn client(self) -> Option<IpAddr> {
        match self {
            Self::Silent | Self::Local => None,
            Self::Header(client) | Self::Xclient(client) => Some(client),
        }
    }
}

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
    pub introduction: Introduction,
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
        let (mut dialogue, mut offer) = self.enter_in_clear().await?;
        if !matches!(self.tls, UpstreamTls::Off | UpstreamTls::Implicit) && offer.extensions.starttls {
            dialogue = self.start_tls(dialogue).await?;
            offer = dialogue.greet(self.verb(), &self.host_name).await?;
        }
        if let Introduction::Xclient(client) = self.introduction {
            self.tell(client, &offer, &mut dialogue).await?;
            offer = dialogue.greet(self.verb(), &self.host_name).await?;
        }
        Ok((dialogue, offer))
    }

    /// XCLIENT, as sessions say it; the server starts over behind it.
    async fn tell(&self, client: IpAddr, offer: &Offer, dialogue: &mut Dialogue) -> Result<(), Trouble> {
        let offers = |name: &str| offer.extensions.xclient.iter().any(|it| it == name);
        if !offers("ADDR") {
            let words = "doesn't offer XCLIENT to this machine".to_owned();
            return Err(Trouble { stage: Stage::Ehlo, words, reply: None });
        }
        let address = if client.is_ipv4() { client.to_string() } else { format!("IPV6:{client}") };
        // Otherwise it keeps the name that it knows this machine by.
        let name = if offers("NAME") { " NAME=[UNAVAILABLE]" } else { "" };
        let reply = dialogue.say(Stage::Ehlo, &format!("XCLIENT ADDR={address}{name}")).await?;
        let words = match reply.code {
            220 => return Ok(()),
            500..=504 | 550 => format!("refused XCLIENT: {}", in_words(&reply)),
            _ => format!("turned it away: {}", in_words(&reply)),
        };
        Err(Trouble { stage: Stage::Ehlo, words, reply: Some(reply) })
    }

    /// The same without STARTTLS and XCLIENT.
    ///
    /// # Errors
    /// It can't be entered.
    pub async fn enter_in_clear(&self) -> Result<(Dialogue, Offer), Trouble> {
        let mut dialogue = Dialogue::open(self.address, self.mark, self.patience).await.map_err(unreachable)?;
        match self.introduction {
            Introduction::Local => dialogue.send(Stage::Connect, &encode_local()).await?,
            Introduction::Header(client) => {
                dialogue.send(Stage::Connect, &encode(SocketAddr::new(client, PORT), self.address, &[])).await?;
            }
            Introduction::Silent | Introduction::Xclient(_) => {}
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
