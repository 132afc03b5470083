//! What the values have in common that have a syntax of their own: parsed from text, shown as text, named in the schema.

use super::addresses::{Address, HostPort, Listen, ListenOrOff, NameServer, Network};
use super::staging::StagingPlace;
use super::units::{Interval, Octets};

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
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                <Self as $crate::config::written::Written>::parse(&text).map_err(serde::de::Error::custom)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                use $crate::config::written::Written;
                schemars::json_schema!({"type": "string", "format": Self::FORMAT, "examples": [Self::EXAMPLE]})
            }
        }
    };
}

pub(super) use written;

/// Whether `text` is well written in the `format` of a schema; `None` for a format that isn't ours.
pub(super) fn check(format: &str, text: &str) -> Option<Result<(), String>> {
    fn parsed<T: Written>(text: &str) -> Result<(), String> {
        T::parse(text).map(drop)
    }
    let outcome = match format {
        Interval::FORMAT => parsed::<Interval>(text),
        Octets::FORMAT => parsed::<Octets>(text),
        Address::FORMAT => parsed::<Address>(text),
        NameServer::FORMAT => parsed::<NameServer>(text),
        Listen::FORMAT => parsed::<Listen>(text),
        ListenOrOff::FORMAT => parsed::<ListenOrOff>(text),
        Network::FORMAT => parsed::<Network>(text),
        StagingPlace::FORMAT => parsed::<StagingPlace>(text),
        HostPort::FORMAT => parsed::<HostPort>(text),
        _ => return None,
    };
    Some(outcome)
}
