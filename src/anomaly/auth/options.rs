//! When failed logins are more than a typing error.

/// `[anomaly.auth]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// An account that usually logs in from a client fails when so many of its logins from there were refused, without a success between.
    pub account_failures: u64,
    /// An account that is not known fails when so many of its logins were refused within half an hour.
    pub stranger_failures: u64,
    /// A client guesses when it tried so many user names within ten minutes and all failed…
    pub guessing_users: usize,
    /// …or when so many of its logins failed within ten minutes.
    pub guessing_failures: u64,
    /// The proxy's own login fails when so many were refused for good (5xx) since the last success.
    pub own_failures: u64,
    /// The same for refusals that may pass (4xx).
    pub own_deferrals: u64,
    /// Every login fails when so many accounts that are known to work were refused within ten minutes, and nobody got in.
    pub all_accounts: usize,
    /// So many refusals of a way to log in within an hour are an incident.
    pub mechanism_refusals: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            account_failures: 3,
            stranger_failures: 6,
            guessing_users: 5,
            guessing_failures: 20,
            own_failures: 2,
            own_deferrals: 3,
            all_accounts: 2,
            mechanism_refusals: 3,
        }
    }
}
