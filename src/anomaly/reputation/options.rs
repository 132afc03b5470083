//! When refusals are a matter of reputation.

/// `[anomaly.reputation]`
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// So many refusals within a day that name no block list known are an incident; of one that is known, the first is.
    pub unnamed_blocklist: u64,
    /// So many refusals within a day because of reverse DNS are an incident.
    pub reverse_dns: u64,
    /// So many refusals within a day because of SPF, DKIM or DMARC, of one sender's domain by one receiver, are an incident…
    pub sender_auth: u64,
    /// …if they are so much of what was tried there. Percent.
    pub sender_auth_percent: u64,
    /// A destination refuses too much when so many recipients of the last ten minutes were refused…
    pub ratio_refused: u64,
    /// …so much of all of them (percent)…
    pub ratio_percent: u64,
    /// …and so many times what is usual there.
    pub ratio_factor: f64,
    /// So many verdicts of spam within an hour…
    pub spam_verdicts: u64,
    /// …of so much of the mail (percent) are sudden, where usually there are far fewer.
    pub spam_percent: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            unnamed_blocklist: 2,
            reverse_dns: 2,
            sender_auth: 3,
            sender_auth_percent: 30,
            ratio_refused: 10,
            ratio_percent: 30,
            ratio_factor: 4.0,
            spam_verdicts: 5,
            spam_percent: 5,
        }
    }
}
