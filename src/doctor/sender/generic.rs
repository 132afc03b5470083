//! Whether a name in reverse DNS is one that a provider's program gave to every address of a pool.

use std::net::IpAddr;

/// Words in names of dynamic and of shared addresses, as labels or parts of labels between hyphens and digits.
const WORDS: &[&str] = &[
    "adsl",
    "broadband",
    "cable",
    "catv",
    "client",
    "clients",
    "cust",
    "customer",
    "customers",
    "dhcp",
    "dial",
    "dialin",
    "dialup",
    "dip",
    "docsis",
    "dsl",
    "dyn",
    "dynamic",
    "dynamicip",
    "dynip",
    "fiber",
    "ftth",
    "gprs",
    "home",
    "hsd",
    "ipt",
    "lte",
    "mobile",
    "modem",
    "pool",
    "pools",
    "ppp",
    "pppoe",
    "res",
    "resnet",
    "sdsl",
    "umts",
    "user",
    "users",
    "vdsl",
    "wifi",
    "wireless",
    "xdsl",
];

/// What gives it away, in words; `None` for a name of somebody's own.
pub(super) fn generic(name: &str, address: IpAddr) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    // The registered domain may well be called "cable.example": the labels before it count.
    let labels: Vec<&str> = lower.trim_end_matches('.').split('.').collect();
    let own = labels.get(..labels.len().saturating_sub(2)).unwrap_or_default().join(".");
    let word = own.split(|it: char| !it.is_ascii_alphabetic()).find(|part| WORDS.contains(part)).map(str::to_owned);
    match (holds(&own, address), word) {
        (true, Some(word)) => Some(format!("it holds the address and the word \"{word}\"")),
        (true, None) => Some("it holds the address".to_owned()),
        (false, Some(word)) => Some(format!("it holds the word \"{word}\"")),
        (false, None) => None,
    }
}

/// Whether the name spells the address: its numbers in either order, in decimal or hexadecimal.
fn holds(name: &str, address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let octets = address.octets();
            let mut numbers: Vec<u32> = name.split(|it: char| !it.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect();
            let wanted: Vec<u32> = octets.iter().map(|it| u32::from(*it)).collect();
            let spelled = |numbers: &[u32]| numbers.windows(4).any(|four| four == wanted) || last_three(numbers, &wanted);
            let forwards = spelled(&numbers);
            numbers.reverse();
            let hex: String = octets.iter().map(|it| format!("{it:02x}")).collect();
            let padded: String = octets.iter().map(|it| format!("{it:03}")).collect();
            forwards || spelled(&numbers) || name.contains(&hex) || name.contains(&padded)
        }
        IpAddr::V6(address) => {
            let digits: String = address.octets().iter().map(|it| format!("{it:02x}")).collect();
            let plain: String = name.chars().filter(char::is_ascii_hexdigit).collect();
            let backwards: String = digits.chars().rev().collect();
            plain.contains(&digits) || plain.contains(&backwards)
        }
    }
}

/// Names that leave the network's first number to the domain: "p50-17-3.isp.example" for 198.50.17.3.
fn last_three(numbers: &[u32], wanted: &[u32]) -> bool {
    wanted.get(1..).is_some_and(|three| numbers.windows(3).any(|it| it == three))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pools_are_told_from_names_of_servers() {
        let generic = |name: &str, address: &str| generic(name, address.parse().unwrap()).is_some();
        for name in [
            "198-51-100-7.isp.example",
            "7.100.51.198.isp.example",
            "ip198.51.100.7.isp.example",
            "c6336407.isp.example",
            "198051100007.isp.example",
            "host-51-100-7.isp.example",
            "pool-12.isp.example",
            "x.dyn.isp.example",
            "dsl3.isp.example",
            "customer.city.isp.example",
        ] {
            assert!(generic(name, "198.51.100.7"), "{name}");
        }
        for name in
            ["mail.example.org", "mx7.example.org", "smtp-out-7.mail.example", "cable.example", "mail.cable.example", "dynamo.example.org"]
        {
            assert!(!generic(name, "198.51.100.7"), "{name}");
        }
        assert!(generic("2001-0db8-0000-0000-0000-0000-0000-0025.isp.example", "2001:db8::25"));
        assert!(!generic("mx6.example.org", "2001:db8::25"));
    }
}
