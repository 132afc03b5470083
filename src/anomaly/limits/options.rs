//! What is known beforehand of sending limits, and when their use is worth a word.

use serde::{Deserialize, Serialize};

use crate::vocabulary::vocabulary;

vocabulary! {
    /// What a quota is for.
    Period {
        Hour = "hour",
        Day = "day",
    }
}

vocabulary! {
    /// What a provider counts.
    #[derive(Default)]
    Counts {
        Messages = "messages",
        /// Each recipient of each message.
        #[default]
        Recipients = "recipients",
    }
}

vocabulary! {
    /// When a day's quota begins anew.
    #[derive(Default)]
    DayBoundary {
        /// The last 24 hours count, whenever one looks.
        #[default]
        Rolling = "rolling",
        /// At midnight UTC.
        Utc = "utc",
    }
}

/// A quota that the admin knows of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configured {
    /// Name of the upstream.
    pub upstream: String,
    /// The account that has it. Absent: everything that goes through the upstream counts together.
    pub user: Option<String>,
    pub per: Period,
    pub count: Counts,
    pub limit: u64,
}

/// `[anomaly.limits]`
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Quotas of the upstreams. What isn't given is learned when a provider refuses: from the number in its reply, or from what was used by then.
    pub limits: Vec<Configured>,
    /// When a day's quota begins anew: "rolling" (the last 24 hours count) or "utc" (at midnight UTC). Providers that name no hour use the former.
    pub day: DayBoundary,
    /// A warning when so much of a quota is used. Percent.
    pub warn_percent: u8,
    /// A warning when a quota will be used up within so long at the present rate. µs.
    pub warn_ahead_us: u64,
    /// A forecast is made only when so much of the quota is used: before, an hour's rate says little. Percent.
    pub forecast_percent: u8,
    /// So many refusals for too high a rate within ten minutes are an incident.
    pub rate_refusals: u64,
    /// The same where mail goes straight to the exchangers of a domain: some are everyday there, so they must also be a fifth of the tries.
    pub rate_refusals_mx: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Vec::new(),
            day: DayBoundary::Rolling,
            warn_percent: 80,
            warn_ahead_us: 2 * crate::anomaly::window::HOUR,
            forecast_percent: 25,
            rate_refusals: 3,
            rate_refusals_mx: 10,
        }
    }
}
