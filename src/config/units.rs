//! Durations and sizes as they are written in the file.

use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::written::{Written, written};

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
            if unit.is_empty() && after.is_empty() {
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

impl Interval {
    /// Of so many microseconds, which are whole milliseconds.
    pub fn of_us(us: u64) -> Self {
        Self(Duration::from_micros(us))
    }

    pub fn us(self) -> u64 {
        u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX)
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

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    number.parse().ok().map(|number| (number, rest))
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
    }
}
