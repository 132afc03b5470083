//! How durations, sizes, addresses, networks and hosts are written in the file.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A value that has a syntax of its own, and so a parser with words for what is wrong.
pub(super) trait Written: Sized {
    /// Its name in the JSON Schema's `format`.
    const FORMAT: &'static str;
    const EXAMPLE: &'static str;
    /// `Err` completes the sentence `KEY = VALUE …`.
    fn parse(text: &str) -> Result<Self, String>;
}

macro_rules! written {
    ($name:ident) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(de::Error::custom)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "format": Self::FORMAT, "examples": [Self::EXAMPLE]})
            }
        }
    };
}

/// `"500ms"`, `"30s"`, `"5m"`, `"1h30m"`, `"2d"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval(pub Duration);
written!(Interval);

/// Longest first, so that each is written with the fewest digits.
const INTERVAL_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Written for Interval {
    const FORMAT: &'static str = "duration";
    const EXAMPLE: &'static str = "5m";

    fn parse(text: &str) -> Result<Self, String> {
        let no_duration = || "is not a duration: write for example \"500ms\", \"30s\", \"5m\" or \"1h30m\"".to_owned();
        let mut rest = text.trim();
        let mut millis: u64 = 0;
        if rest.is_empty() {
            return Err(no_duration());
        }
        while !rest.is_empty() {
            let (number, after) = leading_number(rest).ok_or_else(no_duration)?;
            let after = after.trim_start();
            let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let (unit, after) = after.split_at(letters);
            if unit.is_empty() {
                return Err(if number == 0 {
                    "has no unit: write \"0s\"".to_owned()
                } else {
                    format!("has no unit: write \"{number}s\" for seconds or \"{number}m\" for minutes")
                });
            }
            let &(_, factor) = INTERVAL_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(no_duration)?;
            millis = number.checked_mul(factor).and_then(|part| millis.checked_add(part)).ok_or("is too long")?;
            rest = after.trim_start();
        }
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, factor) in INTERVAL_UNITS {
            if rest >= factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

/// Octets: a number, or `"64 KiB"`, `"10 MB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Octets(pub u64);

const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl Written for Octets {
    const FORMAT: &'static str = "size";
    const EXAMPLE: &'static str = "64 KiB";

    fn parse(text: &str) -> Result<Self, String> {
        let no_size = || "is not a size: write for example \"512 B\", \"64 KiB\" or \"10 MB\"".to_owned();
        let (number, unit) = leading_number(text.trim()).ok_or_else(no_size)?;
        let unit = unit.trim();
        if unit.is_empty() {
            return Ok(Self(number));
        }
        let known = SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
        let &(_, factor) = known.ok_or_else(no_size)?;
        number.checked_mul(factor).map(Self).ok_or_else(|| "is too large".to_owned())
    }
}

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |&&(_, factor): &&(&str, u64)| self.0 >= factor && self.0.is_multiple_of(factor);
        match SIZE_UNITS.iter().find(fits) {
            Some((unit, factor)) => write!(f, "{} {unit}", self.0 / factor),
            None => write!(f, "{} B", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u64),
            Text(String),
        }
        match Either::deserialize(deserializer)? {
            Either::Number(number) => Ok(Self(number)),
            Either::Text(text) => Self::parse(&text).map_err(de::Error::custom),
        }
    }
}

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == 0 { serializer.serialize_u64(0) } else { serializer.collect_str(self) }
    }
}

impl JsonSchema for Octets {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Octets".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "integer"], "format": Self::FORMAT, "minimum": 0, "examples": [Self::EXAMPLE]})
    }
}

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
            Ok(port) if host.parse::<std::net::Ipv6Addr>().is_ok() => {
                Err(format!("must have its address in brackets: write \"[{host}]:{port}\""))
            }
            _ => Err("is not an address with a port: write for example \"127.0.0.1:2525\" or \"[::1]:2525\"".to_owned()),
        }
    }
}

impl fmt::Display for Listen {
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
        let net = IpNet::from_str(text)
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
        if text.parse::<std::net::Ipv6Addr>().is_ok() {
            return Err(format!("has no port: write \"[{text}]:587\" (submission) or \"[{text}]:25\""));
        }
        let Some((host, port)) = text.rsplit_once(':').filter(|(host, _)| !host.starts_with('[') || host.ends_with(']')) else {
            return Err(format!("has no port: write \"{text}:587\" (submission) or \"{text}:25\""));
        };
        let port = port.parse::<u16>().ok().filter(|&port| port != 0).ok_or("has no port from 1 to 65535 after the last colon")?;
        let host = bare(host); // Postfix writes names in brackets too
        if host.contains(':') && host.parse::<std::net::Ipv6Addr>().is_err() || !is_host(&host) {
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

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    number.parse().ok().map(|number| (number, rest))
}

/// Whether `text` is well written in the `format` of a schema; `None` for a format that isn't ours.
pub(super) fn check(format: &str, text: &str) -> Option<Result<(), String>> {
    fn parsed<T: Written>(text: &str) -> Result<(), String> {
        T::parse(text).map(drop)
    }
    let outcome = match format {
        Interval::FORMAT => parsed::<Interval>(text),
        Octets::FORMAT => parsed::<Octets>(text),
        Listen::FORMAT => parsed::<Listen>(text),
        ListenOrOff::FORMAT => parsed::<ListenOrOff>(text),
        Network::FORMAT => parsed::<Network>(text),
        HostPort::FORMAT => parsed::<HostPort>(text),
        _ => return None,
    };
    Some(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals() {
        for (text, millis) in
            [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("1h30m", 5_400_000), ("1m 30s", 90_000), ("2d", 172_800_000)]
        {
            assert_eq!(Interval::parse(text), Ok(Interval(Duration::from_millis(millis))), "{text}");
        }
        for text in ["", "s", "5 minutes", "-5s", "5x", "1.5s", "5m-"] {
            assert!(Interval::parse(text).unwrap_err().contains("is not a duration"), "{text}");
        }
        assert_eq!(Interval::parse("5").unwrap_err(), "has no unit: write \"5s\" for seconds or \"5m\" for minutes");
        assert_eq!(Interval::parse("99999999999999999999s").unwrap_err(), Interval::parse("x").unwrap_err());
        assert_eq!(Interval::parse("9999999999999999999s").unwrap_err(), "is too long");
    }

    #[test]
    fn sizes() {
        for (text, octets) in [("0", 0), ("512", 512), ("512 B", 512), ("64 KiB", 65_536), ("10MB", 10_000_000), ("2 gib", 2 << 30)] {
            assert_eq!(Octets::parse(text), Ok(Octets(octets)), "{text}");
        }
        for text in ["", "KiB", "-1 B", "1.5 MB", "10 XB", "64 K"] {
            assert!(Octets::parse(text).unwrap_err().contains("is not a size"), "{text}");
        }
        assert_eq!(Octets::parse("99999999 TiB").unwrap_err(), "is too large");
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        fn check<T: Written + fmt::Display + fmt::Debug + PartialEq>(text: &str) {
            let value = T::parse(text).unwrap();
            assert_eq!(value.to_string(), text);
            assert_eq!(T::parse(&value.to_string()), Ok(value));
        }
        ["0s", "1ms", "100ms", "1s", "1m30s", "20m", "1d", "1d2h3m4s5ms"].into_iter().for_each(check::<Interval>);
        ["1 B", "513 B", "64 KiB", "10 MB", "1 kB", "3 TiB"].into_iter().for_each(check::<Octets>);
        ["127.0.0.1:2525", "[::1]:25"].into_iter().for_each(check::<Listen>);
        ["off", "127.0.0.1:8025"].into_iter().for_each(check::<ListenOrOff>);
        ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"].into_iter().for_each(check::<Network>);
        ["smtp.example.net:587", "192.0.2.1:25", "[2001:db8::1]:25"].into_iter().for_each(check::<HostPort>);
    }

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
}
