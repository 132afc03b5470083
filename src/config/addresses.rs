//! Addresses, networks and hosts as they are written in the file.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use super::written::{Written, written};

/// `"127.0.0.1:2525"`: an address and port to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen(pub SocketAddr);
written!(Listen);

impl Written for Listen {
    const FORMAT: &'static str = "listen-address";
    const EXAMPLE: &'static str = "127.0.0.1:2525";

    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self(address));
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Err(format!("has no port: write \"{}\"", SocketAddr::new(address, 25)));
        }
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        match port.parse::<u16>() {
            Ok(port) if host.is_empty() || host == "*" => {
                Err(format!("has no address: write \"0.0.0.0:{port}\" for all of IPv4, and \"[::]:{port}\" for all of IPv6"))
            }
            Ok(port) if host == "localhost" => Err(format!("must be an address, not a name: write \"127.0.0.1:{port}\"")),
            Ok(port) if host.parse::<Ipv6Addr>().is_ok() => Err(format!("must have its address in brackets: write \"[{host}]:{port}\"")),
            _ => Err("is not an address with a port: write for example \"127.0.0.1:2525\" or \"[::1]:2525\"".to_owned()),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `"127.0.0.1"` or `"127.0.0.1:5353"`: a DNS server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameServer(pub SocketAddr);
written!(NameServer);

impl Written for NameServer {
    const FORMAT: &'static str = "name-server";
    const EXAMPLE: &'static str = "127.0.0.1";

    fn parse(text: &str) -> Result<Self, String> {
        const DNS: u16 = 53;
        let bare = text.trim_matches(['[', ']']).parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS));
        bare.or_else(|_| text.parse())
            .map(Self)
            .map_err(|_| "is not the address of a DNS server: write for example \"127.0.0.1\" or \"[2001:db8::53]:5353\"".to_owned())
    }
}

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `"192.0.2.7"`: an IP address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub IpAddr);
written!(Address);

impl Written for Address {
    const FORMAT: &'static str = "ip-address";
    const EXAMPLE: &'static str = "192.0.2.7";

    fn parse(text: &str) -> Result<Self, String> {
        let bare = text.trim_matches(['[', ']']).parse();
        bare.map(Self).map_err(|_| "is not an IP address: write for example \"192.0.2.7\" or \"2001:db8::7\"".to_owned())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An address to listen on, or `"off"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenOrOff(pub Option<SocketAddr>);
written!(ListenOrOff);

impl Written for ListenOrOff {
    const FORMAT: &'static str = "listen-address-or-off";
    const EXAMPLE: &'static str = "127.0.0.1:8025";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "off" { Ok(Self(None)) } else { Listen::parse(text).map(|listen| Self(Some(listen.0))) }
    }
}

impl fmt::Display for ListenOrOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("off"),
        }
    }
}

/// `"192.0.2.0/24"`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(pub IpNet);
written!(Network);

impl Written for Network {
    const FORMAT: &'static str = "network";
    const EXAMPLE: &'static str = "192.0.2.0/24";

    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Self(address.into()));
        }
        let net = text
            .parse::<IpNet>()
            .map_err(|_| "is not a network: write for example \"192.0.2.0/24\", \"192.0.2.7\" or \"2001:db8::/32\"".to_owned())?;
        if net.trunc() == net {
            Ok(Self(net))
        } else {
            Err(format!("has host bits set: write \"{}\" for the network, or \"{}\" for the host", net.trunc(), net.addr()))
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

/// `"smtp.example.net:587"`, `"192.0.2.1:25"`, `"[2001:db8::1]:25"`: where the upstream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}
written!(HostPort);

impl Written for HostPort {
    const FORMAT: &'static str = "host-port";
    const EXAMPLE: &'static str = "smtp.example.net:587";

    fn parse(text: &str) -> Result<Self, String> {
        let bare = |host: &str| host.trim_matches(['[', ']']).to_owned();
        if text.is_empty() {
            return Err("is empty: write for example \"smtp.example.net:587\"".to_owned());
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(format!("has no port: write \"[{text}]:587\" (submission) or \"[{text}]:25\""));
        }
        let Some((host, port)) = text.rsplit_once(':').filter(|(host, _)| !host.starts_with('[') || host.ends_with(']')) else {
            return Err(format!("has no port: write \"{text}:587\" (submission) or \"{text}:25\""));
        };
        let port = port.parse::<u16>().ok().filter(|&port| port != 0).ok_or("has no port from 1 to 65535 after the last colon")?;
        let host = bare(host); // Postfix writes names in brackets too
        if host.contains(':') && host.parse::<Ipv6Addr>().is_err() || !is_host(&host) {
            return Err("is not HOST:PORT: write for example \"smtp.example.net:587\" or \"[2001:db8::1]:25\"".to_owned());
        }
        Ok(Self { host, port })
    }
}

pub(super) fn is_host(host: &str) -> bool {
    let label = |label: &str| !label.is_empty() && label.len() <= 63;
    let name = || host.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_'));
    host.parse::<IpAddr>().is_ok() || host.len() <= 253 && name() && host.strip_suffix('.').unwrap_or(host).split('.').all(label)
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses_that_are_none_say_what_to_write() {
        let cases = [
            ("127.0.0.1", "has no port: write \"127.0.0.1:25\""),
            ("::1", "has no port: write \"[::1]:25\""),
            (":25", "has no address: write \"0.0.0.0:25\" for all of IPv4, and \"[::]:25\" for all of IPv6"),
            ("*:25", "has no address: write \"0.0.0.0:25\" for all of IPv4, and \"[::]:25\" for all of IPv6"),
            ("localhost:25", "must be an address, not a name: write \"127.0.0.1:25\""),
            ("127.0.0.1:99999", "is not an address with a port: write for example \"127.0.0.1:2525\" or \"[::1]:2525\""),
        ];
        for (text, words) in cases {
            assert_eq!(Listen::parse(text).unwrap_err(), words, "{text}");
        }
    }

    #[test]
    fn hosts() {
        let host = |host: &str, port| Ok(HostPort { host: host.to_owned(), port });
        assert_eq!(HostPort::parse("[smtp.example.net]:587"), host("smtp.example.net", 587));
        assert_eq!(HostPort::parse("[2001:db8::1]:25"), host("2001:db8::1", 25));
        let cases = [
            ("smtp.example.net", "has no port: write \"smtp.example.net:587\" (submission) or \"smtp.example.net:25\""),
            ("", "is empty: write for example \"smtp.example.net:587\""),
            ("2001:db8::1", "has no port: write \"[2001:db8::1]:587\" (submission) or \"[2001:db8::1]:25\""),
            ("smtp.example.net:smtp", "has no port from 1 to 65535 after the last colon"),
            ("smtp.example.net:0", "has no port from 1 to 65535 after the last colon"),
            ("smtp://example.net:25", "is not HOST:PORT: write for example \"smtp.example.net:587\" or \"[2001:db8::1]:25\""),
            ("a b:25", "is not HOST:PORT: write for example \"smtp.example.net:587\" or \"[2001:db8::1]:25\""),
            (":25", "is not HOST:PORT: write for example \"smtp.example.net:587\" or \"[2001:db8::1]:25\""),
            ("a..b:25", "is not HOST:PORT: write for example \"smtp.example.net:587\" or \"[2001:db8::1]:25\""),
        ];
        for (text, words) in cases {
            assert_eq!(HostPort::parse(text).unwrap_err(), words, "{text}");
        }
    }

    #[test]
    fn networks() {
        assert_eq!(
            Network::parse("10.1.0.0/8").unwrap_err(),
            "has host bits set: write \"10.0.0.0/8\" for the network, or \"10.1.0.0\" for the host"
        );
        assert!(Network::parse("10.0.0.0/40").unwrap_err().contains("is not a network"));
    }
    #[test]
    fn what_is_shown_can_be_read_again() {
        fn check<T: Written + fmt::Display + fmt::Debug + PartialEq>(text: &str) {
            let value = T::parse(text).unwrap();
            assert_eq!(value.to_string(), text);
            assert_eq!(T::parse(&value.to_string()), Ok(value));
        }
        ["127.0.0.1:2525", "[::1]:25"].into_iter().for_each(check::<Listen>);
        ["off", "127.0.0.1:8025"].into_iter().for_each(check::<ListenOrOff>);
        ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"].into_iter().for_each(check::<Network>);
        ["smtp.example.net:587", "192.0.2.1:25", "[2001:db8::1]:25"].into_iter().for_each(check::<HostPort>);
    }
}
