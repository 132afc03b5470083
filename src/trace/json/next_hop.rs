//! The public shape of how the next hop was found, and of what stood between client and proxy.

use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mirrored::{Shown, is_zero, mirrored, nested};
use super::values::Word;
use crate::trace::kinds::{Dnssec, LookupOutcome, ViaHow};
use crate::trace::record;

nested!(Answer);

mirrored! {
    /// What stands between the client and the proxy: a load balancer, or a rule that diverted the connection.
    Via {
        how: Word<ViaHow>,
        /// The load balancer's own address.
        #[serde(skip_serializing_if = "Option::is_none")]
        ip: Option<IpAddr>,
        #[serde(skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        /// Where the client had connected to.
        #[serde(skip_serializing_if = "Option::is_none")]
        destination: Option<SocketAddr>,
        /// The load balancer's id of the connection.
        #[serde(skip_serializing_if = "Option::is_none")]
        unique_id: Option<String>,
        /// The host name that the client asked the load balancer for.
        #[serde(skip_serializing_if = "Option::is_none")]
        authority: Option<String>,
        /// TLS that the load balancer ended.
        #[serde(skip_serializing_if = "Option::is_none")]
        tls: Option<String>,
        /// Further values of the header, not kept.
        #[serde(default, skip_serializing_if = "is_zero")]
        more: u32,
    }
}

mirrored! {
    /// One question to DNS and its answer.
    Lookup {
        name: String,
        /// "MX", "A", "AAAA", "TLSA", "TXT".
        query: String,
        outcome: Word<LookupOutcome>,
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        answers: Vec<Answer>,
        /// Answers that did not fit.
        #[serde(default, skip_serializing_if = "is_zero")]
        answers_cut: u32,
        /// The name server asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        server: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        dnssec: Option<Word<Dnssec>>,
        /// Since the session began.
        at_us: u64,
        took_us: u64,
    }
}

mirrored! {
    /// One record of an answer, in presentation form.
    Answer {
        kind: String,
        /// Seconds.
        ttl: u32,
        data: String,
    }
}

mirrored! {
    /// What TLS to the upstream had to be, and why.
    TlsPolicy {
        policy: String,
        /// The configuration, a TLSA record set, an MTA-STS policy and its id.
        source: String,
        /// How the certificate was found good.
        #[serde(skip_serializing_if = "Option::is_none")]
        verified_by: Option<String>,
    }
}

mirrored! {
    /// A session that was passed through encrypted and unread.
    Spliced {
        client_octets: u64,
        upstream_octets: u64,
        /// Since the session began; absent where it began encrypted.
        #[serde(skip_serializing_if = "Option::is_none")]
        starttls_at_us: Option<u64>,
        /// Application protocols that the TLS hello offers.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        alpn: Vec<String>,
    }
}
