//! Structs of the shape that have the fields of the record's: declared once, with both ways between them.

use std::net::{IpAddr, SocketAddr};

use super::values::{Enhanced, Id, Time, Word};
use crate::trace::kinds::{
    AboutKind, Act, Action, Anomaly, AuditEvent, Cause, Dnssec, Flag, IncidentStep, LogEvent, LookupOutcome, ReportKind, Severity, ViaHow,
};
use crate::trace::{RecordId, WallMicros};

pub(super) fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// Declares a struct of the shape that has the fields of the record's struct of the same name, and both ways between them.
macro_rules! mirrored {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type),+ }

        impl From<&record::$name> for $name {
            fn from(it: &record::$name) -> Self {
                Self { $($field: Shown::shown(&it.$field)),+ }
            }
        }

        impl From<$name> for record::$name {
            fn from(it: $name) -> Self {
                Self { $($field: Shown::kept(it.$field)),+ }
            }
        }
    };
}

/// A value of a record and the same in the shape.
pub(super) trait Shown<T> {
    fn shown(of: &T) -> Self;
    fn kept(self) -> T;
}

macro_rules! shown_as_it_is {
    ($($type:ty),+) => { $(impl Shown<$type> for $type {
        fn shown(of: &$type) -> Self { of.clone() }
        fn kept(self) -> $type { self }
    })+ };
}

shown_as_it_is!(String, bool, u16, u32, u64, IpAddr, SocketAddr);

macro_rules! shown_as_word {
    ($($type:ty),+) => { $(impl Shown<$type> for Word<$type> {
        fn shown(of: &$type) -> Self { Self(*of) }
        fn kept(self) -> $type { self.0 }
    })+ };
}

shown_as_word!(
    AboutKind,
    Act,
    Action,
    Anomaly,
    AuditEvent,
    Cause,
    Dnssec,
    Flag,
    IncidentStep,
    LogEvent,
    LookupOutcome,
    ReportKind,
    Severity,
    ViaHow
);

impl<T, S: Shown<T>> Shown<Option<T>> for Option<S> {
    fn shown(of: &Option<T>) -> Self {
        of.as_ref().map(S::shown)
    }

    fn kept(self) -> Option<T> {
        self.map(S::kept)
    }
}

impl<T, S: Shown<T>> Shown<Vec<T>> for Vec<S> {
    fn shown(of: &Vec<T>) -> Self {
        of.iter().map(S::shown).collect()
    }

    fn kept(self) -> Vec<T> {
        self.into_iter().map(S::kept).collect()
    }
}

impl<T, S: Shown<T>> Shown<Box<T>> for Box<S> {
    fn shown(of: &Box<T>) -> Self {
        Self::new(S::shown(of))
    }

    fn kept(self) -> Box<T> {
        Box::new(S::kept(*self))
    }
}

impl Shown<RecordId> for Id {
    fn shown(of: &RecordId) -> Self {
        Self(*of)
    }

    fn kept(self) -> RecordId {
        self.0
    }
}

impl Shown<WallMicros> for Time {
    fn shown(of: &WallMicros) -> Self {
        Self(*of)
    }

    fn kept(self) -> WallMicros {
        self.0
    }
}

impl Shown<(u8, u16, u16)> for Enhanced {
    fn shown(of: &(u8, u16, u16)) -> Self {
        Self(*of)
    }

    fn kept(self) -> (u8, u16, u16) {
        self.0
    }
}

/// Lets a struct of the shape stand in another one.
macro_rules! nested {
    ($($name:ident),+) => { $(impl Shown<record::$name> for $name {
        fn shown(of: &record::$name) -> Self {
            of.into()
        }

        fn kept(self) -> record::$name {
            self.into()
        }
    })+ };
}

pub(super) use {mirrored, nested};
