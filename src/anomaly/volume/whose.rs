//! Whose mail is counted: a user, a sender, a client or a listener.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::trace::{About, AboutKind};

/// Whose mail it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Whose {
    User(Box<str>),
    Sender(Box<str>),
    Client(IpAddr),
    Listener(Box<str>),
}

/// The same, borrowed from a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WhoseRef<'a> {
    User(&'a str),
    Sender(&'a str),
    Client(IpAddr),
    Listener(&'a str),
}

impl Whose {
    pub fn as_ref(&self) -> WhoseRef<'_> {
        match self {
            Self::User(name) => WhoseRef::User(name),
            Self::Sender(name) => WhoseRef::Sender(name),
            Self::Client(ip) => WhoseRef::Client(*ip),
            Self::Listener(name) => WhoseRef::Listener(name),
        }
    }

    pub fn about(&self) -> About {
        let (kind, value) = match self {
            Self::User(name) => (AboutKind::User, name.to_string()),
            Self::Sender(name) => (AboutKind::Sender, name.to_string()),
            Self::Client(ip) => (AboutKind::Client, ip.to_string()),
            Self::Listener(name) => (AboutKind::Listener, name.to_string()),
        };
        About { kind, value }
    }

    /// "user ann", "10.0.0.12", "listener inbound".
    pub fn words(&self) -> String {
        match self {
            Self::User(name) => format!("user {name}"),
            Self::Sender(name) => format!("sender {name}"),
            Self::Client(ip) => ip.to_string(),
            Self::Listener(name) => format!("listener {name}"),
        }
    }

    /// What is counted: of machines messages, of people recipients.
    pub fn unit(&self) -> &'static str {
        match self {
            Self::User(_) | Self::Sender(_) => "recipients",
            Self::Client(_) | Self::Listener(_) => "messages",
        }
    }
}

impl From<&WhoseRef<'_>> for Whose {
    fn from(it: &WhoseRef<'_>) -> Self {
        match *it {
            WhoseRef::User(name) => Self::User(name.into()),
            WhoseRef::Sender(name) => Self::Sender(name.into()),
            WhoseRef::Client(ip) => Self::Client(ip),
            WhoseRef::Listener(name) => Self::Listener(name.into()),
        }
    }
}

impl Hash for Whose {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

impl hashbrown::Equivalent<Whose> for WhoseRef<'_> {
    fn equivalent(&self, key: &Whose) -> bool {
        *self == key.as_ref()
    }
}
