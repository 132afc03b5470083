//! What a diagnosis is made from, and what it says.

use crate::smtp::Stage;

use super::{Act, Cause, Permanence};

/// What is known about a refusal. Each field may be missing; the text decides most.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    pub stage: Option<Stage>,
    pub code: Option<u16>,
    pub enhanced: Option<(u8, u16, u16)>,
    /// The reply's lines joined by `\n`; may begin with the codes. Our own words where no reply came.
    pub text: &'a str,
    /// Who spoke: the name of the host that was connected to, or the reporting or remote MTA of a report.
    pub host: Option<&'a str>,
    /// Its greeting.
    pub banner: Option<&'a str>,
}

/// Why, who must act, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict<'r> {
    pub cause: Cause,
    pub act: Act,
    pub permanence: Permanence,
    /// The id of the rule that decided; `none` where no rule matched.
    pub rule: &'r str,
    /// The id of the provider or server software that spoke, where it gave itself away.
    pub provider: Option<&'r str>,
    pub advice: &'r str,
}

impl Verdict<'_> {
    /// The same where the name that DNS doesn't have is a host's in the configuration: no recipient's domain, and nothing a sender could mend.
    pub fn of_configured_host(self) -> Self {
        if !matches!(self.rule, "own/dns-no-such-name" | "own/host-without-address") {
            return self;
        }
        let advice = "The host's name in the configuration (`hosts`) leads to no address: it is misspelt there, its operator has removed it from \
                      DNS, or this machine's resolver doesn't know it. `relayscope doctor upstream` and `dig` tell which; mail waits until then.";
        Self { cause: Cause::DnsFailure, act: Act::LocalAdmin, permanence: Permanence::Transient, advice, ..self }
    }
}
