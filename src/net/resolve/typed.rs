//! The data of an answer by its type, for those who go by it instead of showing it.

use std::net::IpAddr;

use hickory_resolver::proto::rr::RData;

use super::hosts::address_of;
use super::{Lookup, bare};

impl Lookup {
    /// The text of each TXT record, its strings joined (RFC 7208 3.3). Hostile.
    pub fn texts(&self) -> Vec<Vec<u8>> {
        self.of(|data| match data {
            RData::TXT(txt) => Some(txt.txt_data.concat()),
            _ => None,
        })
    }

    /// The names that PTR, NS or CNAME records lead to: lower case, no final dot. Hostile.
    pub fn targets(&self) -> Vec<String> {
        self.of(|data| match data {
            RData::PTR(target) => Some(bare(&target.0)),
            RData::NS(target) => Some(bare(&target.0)),
            RData::CNAME(target) => Some(bare(&target.0)),
            _ => None,
        })
    }

    /// Preference and host of each MX record; the host as in [`Lookup::targets`], empty for the null MX (RFC 7505).
    pub fn exchanges(&self) -> Vec<(u16, String)> {
        self.of(|data| match data {
            RData::MX(mx) => Some((mx.preference, bare(&mx.exchange))),
            _ => None,
        })
    }

    pub fn addresses(&self) -> Vec<IpAddr> {
        self.of(address_of)
    }

    /// Of the SOA record.
    pub fn serial(&self) -> Option<u32> {
        serial(self.data())
    }

    fn of<T>(&self, read: impl Fn(&RData) -> Option<T>) -> Vec<T> {
        self.data().iter().filter_map(read).collect()
    }
}

pub(super) fn serial(data: &[RData]) -> Option<u32> {
    data.iter().find_map(|data| match data {
        RData::SOA(soa) => Some(soa.serial),
        _ => None,
    })
}
