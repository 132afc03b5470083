//! Which addresses no mail exchanger of the internet can have, and which are this machine's own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use ipnet::{Ipv4Net, Ipv6Net};
use moka::sync::Cache;

const V4: &[([u8; 4], u8, &str)] = &[
    ([0, 0, 0, 0], 8, "\"this network\" (0.0.0.0/8)"),
    ([10, 0, 0, 0], 8, "a private network (10.0.0.0/8)"),
    ([100, 64, 0, 0], 10, "a provider's inner network (100.64.0.0/10)"),
    ([127, 0, 0, 0], 8, "loopback (127.0.0.0/8)"),
    ([169, 254, 0, 0], 16, "link-local (169.254.0.0/16)"),
    ([172, 16, 0, 0], 12, "a private network (172.16.0.0/12)"),
    ([192, 0, 0, 0], 24, "reserved for protocols (192.0.0.0/24)"),
    ([192, 0, 2, 0], 24, "for documentation (192.0.2.0/24)"),
    ([192, 168, 0, 0], 16, "a private network (192.168.0.0/16)"),
    ([198, 18, 0, 0], 15, "for benchmarks (198.18.0.0/15)"),
    ([198, 51, 100, 0], 24, "for documentation (198.51.100.0/24)"),
    ([203, 0, 113, 0], 24, "for documentation (203.0.113.0/24)"),
    ([224, 0, 0, 0], 4, "multicast (224.0.0.0/4)"),
    ([240, 0, 0, 0], 4, "reserved (240.0.0.0/4)"),
];

const V6: &[([u16; 8], u8, &str)] = &[
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified (::)"),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback (::1)"),
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discarded (100::/64)"),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "for documentation (2001:db8::/32)"),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "for documentation (3fff::/20)"),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "a private network (fc00::/7)"),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local (fe80::/10)"),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local (fec0::/10)"),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast (ff00::/8)"),
];

/// Prefixes whose last 32 bits (or those behind 2002:) are an IPv4 address: what holds for it holds for them.
const MAPPED: &[([u16; 8], u8, &str)] = &[
    ([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, "IPv4-mapped"),
    ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, "NAT64"),
    ([0, 0, 0, 0, 0, 0, 0, 0], 96, "IPv4-compatible"),
];

/// Why a mail exchanger of the internet can't have this address (RFC 6890 and successors), in words that go behind
/// "192.168.1.1 is …"; `None` for a global one.
pub fn not_global(address: IpAddr) -> Option<String> {
    match address {
        IpAddr::V4(address) => not_global_v4(address).map(str::to_owned),
        IpAddr::V6(address) => not_global_v6(address),
    }
}

fn not_global_v4(address: Ipv4Addr) -> Option<&'static str> {
    let inside = |octets: [u8; 4], length| Ipv4Net::new(octets.into(), length).is_ok_and(|net| net.contains(&address));
    V4.iter().find(|(octets, length, _)| inside(*octets, *length)).map(|(_, _, why)| *why)
}

fn not_global_v6(address: Ipv6Addr) -> Option<String> {
    let inside = |(groups, length, _): &&([u16; 8], u8, &str)| {
        Ipv6Net::new(Ipv6Addr::from(*groups), *length).is_ok_and(|net| net.contains(&address))
    };
    if let Some((_, _, why)) = V6.iter().find(inside) {
        return Some((*why).to_owned());
    }
    let [first, second, third, .., seventh, eighth] = address.segments();
    let (form, high, low) = if first == 0x2002 {
        ("6to4", second, third)
    } else {
        let (_, _, form) = MAPPED.iter().find(inside)?;
        (*form, seventh, eighth)
    };
    let inner = Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    not_global_v4(inner).map(|why| format!("{form} {inner}, {why}"))
}

/// Whether a connection to this address would end at this very machine.
pub fn is_own(address: IpAddr) -> bool {
    let address = address.to_canonical();
    is_this_host(address) || source_towards(address) == Some(address)
}

/// What the kernel said lately of ways to addresses, for the path of each connection.
pub(super) struct Routes {
    sources: Cache<IpAddr, Option<IpAddr>>,
}

/// Routes change seldom, and a connection that fails for it is only tried later than it could be.
const REMEMBERED: Duration = Duration::from_secs(10);

impl Routes {
    pub fn new() -> Self {
        Self { sources: Cache::builder().max_capacity(4_096).time_to_live(REMEMBERED).build() }
    }

    /// Whether there is a way.
    pub fn is_routed(&self, address: IpAddr) -> bool {
        self.source(address).is_some()
    }

    /// As [`is_own`].
    pub fn is_own(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_this_host(address) || self.source(address) == Some(address)
    }

    fn source(&self, address: IpAddr) -> Option<IpAddr> {
        self.sources.get_with(address, || source_towards(address))
    }
}

fn is_this_host(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified()
}

/// The address that the kernel would send from. Connecting a UDP socket sends nothing.
fn source_towards(address: IpAddr) -> Option<IpAddr> {
    let any: SocketAddr = match address {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect((address, 25)).ok()?;
    socket.local_addr().ok().map(|local| local.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_special_range_is_known_and_its_neighbours_are_not() {
        let special = [
            ("0.1.2.3", "\"this network\" (0.0.0.0/8)"),
            ("10.255.255.255", "a private network (10.0.0.0/8)"),
            ("100.64.0.1", "a provider's inner network (100.64.0.0/10)"),
            ("127.4.5.6", "loopback (127.0.0.0/8)"),
            ("169.254.169.254", "link-local (169.254.0.0/16)"),
            ("172.31.0.1", "a private network (172.16.0.0/12)"),
            ("192.168.0.1", "a private network (192.168.0.0/16)"),
            ("203.0.113.9", "for documentation (203.0.113.0/24)"),
            ("239.1.1.1", "multicast (224.0.0.0/4)"),
            ("255.255.255.255", "reserved (240.0.0.0/4)"),
            ("::", "unspecified (::)"),
            ("::1", "loopback (::1)"),
            ("fe80::1", "link-local (fe80::/10)"),
            ("fd00::1", "a private network (fc00::/7)"),
            ("2001:db8::25", "for documentation (2001:db8::/32)"),
            ("ff02::1", "multicast (ff00::/8)"),
            ("::ffff:10.0.0.1", "IPv4-mapped 10.0.0.1, a private network (10.0.0.0/8)"),
            ("64:ff9b::127.0.0.1", "NAT64 127.0.0.1, loopback (127.0.0.0/8)"),
            ("::127.0.0.1", "IPv4-compatible 127.0.0.1, loopback (127.0.0.0/8)"),
            ("2002:a00:1::1", "6to4 10.0.0.1, a private network (10.0.0.0/8)"),
        ];
        for (address, why) in special {
            assert_eq!(not_global(address.parse().unwrap()).as_deref(), Some(why), "{address}");
        }
        let global =
            ["9.255.255.255", "11.0.0.0", "100.63.0.1", "100.128.0.1", "172.32.0.1", "192.0.1.1", "2001:4860::1", "64:ff9b::8.8.8.8"];
        for address in global {
            assert_eq!(not_global(address.parse().unwrap()), None, "{address}");
        }
    }

    #[test]
    fn own_addresses_are_known() {
        for own in ["127.0.0.1", "127.9.8.7", "::1", "0.0.0.0", "::ffff:127.0.0.1"] {
            assert!(is_own(own.parse().unwrap()), "{own}");
        }
        assert!(!is_own("192.0.2.1".parse().unwrap()));
    }
}
