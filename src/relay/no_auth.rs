//! Why AUTH that the upstream offers isn't offered to the client, in the words that records keep.

/// The certificate isn't verified, or there is no TLS.
pub const UPSTREAM_UNVERIFIED: &str = "credentials go upstream only over verified TLS";
/// The handshake failed, and the session went on in clear.
pub const UPSTREAM_TLS_BROKE: &str = "TLS to the smart host failed in this session";
/// The client, not on loopback, hasn't begun TLS.
pub const CLIENT_IN_CLEAR: &str = "AUTH is offered only over TLS";

/// What an admin can do about it; `None` where it is meant so.
pub fn remedy(why: &str) -> Option<&'static str> {
    Some(match why {
        UPSTREAM_UNVERIFIED => {
            "have the upstream's certificate verified (`ca_file`, or the host by the name in its certificate), or set \
             `allow_plaintext_auth = true` in [[upstream]]; `relayscope doctor upstream` shows what is wrong with it"
        }
        UPSTREAM_TLS_BROKE => "mend TLS with the upstream: `relayscope doctor upstream` shows what is wrong with it",
        CLIENT_IN_CLEAR => "have clients use STARTTLS (`tls` in [[listener]]), or set `allow_plaintext_auth = true` there",
        _ => return None,
    })
}
