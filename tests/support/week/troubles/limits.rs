//! Quotas: nearly used up, used up, too fast; and what is none of that.

use relayscope::anomaly::limits::{Configured, Counts, Period};
use relayscope::trace::UpstreamKind;

use super::*;

/// Quotas that the admin has entered.
pub fn configured() -> Vec<Configured> {
    let quota =
        |upstream: &str, per, limit| Configured { upstream: upstream.to_owned(), user: None, per, count: Counts::Recipients, limit };
    vec![quota("quota", Period::Day, 1_000), quota("hourly", Period::Hour, 100)]
}

const USED_UP: &str = "5.4.5 Daily sending quota of 10000 messages exceeded";

pub fn situations(at: WallMicros) -> Vec<Situation> {
    let throttled = |at, no| refused(at, no, Stage::EndOfData, 454, "4.7.0 Throttling: sending rate", Cause::RateLimited);
    let straight = |at, no: u64, every: u64| {
        let sample = through("internet", at, no).to(&["ann@huge.example"]).upstream(|it| it.kind = UpstreamKind::Mx);
        let sample = sample.upstream(|it| (it.host, it.port) = (Some("mx.huge.example".to_owned()), Some(25)));
        if no.is_multiple_of(every) {
            sample.refused(Stage::RcptTo, 451, "4.7.1 Too much mail from you", Cause::RateLimited).record()
        } else {
            sample.record()
        }
    };
    vec![
        trouble(
            Anomaly::SendingLimitNear,
            "a day's quota, at this rate used up within two hours",
            each(at, 480, SECOND, |at, no| through("quota", at, no).record()),
        ),
        trouble(Anomaly::SendingLimitNear, "an hour's quota", each(at, 85, 2 * SECOND, |at, no| through("hourly", at, no).record())),
        trouble(
            Anomaly::SendingLimitReached,
            "one refusal that names the quota",
            each(at, 1, SECOND, |at, no| refused(at, no, Stage::MailFrom, 550, USED_UP, Cause::SendingLimitReached)),
        ),
        trouble(
            Anomaly::SendingLimitReached,
            "all mail of one account is refused",
            each(at, 40, 5 * SECOND, |at, no| {
                let sample = mail(at, no).user("bob@our.example", "succeeded");
                sample.refused(Stage::MailFrom, 550, "5.7.1 you may send 2,000 a day, try tomorrow", Cause::SendingLimitReached).record()
            }),
        ),
        trouble(Anomaly::RateLimited, "the smart host throttles, a little", each(at, 3, 20 * SECOND, throttled)),
        trouble(Anomaly::RateLimited, "the smart host throttles, a lot", each(at, 60, 2 * SECOND, throttled)),
        trouble(
            Anomaly::RateLimited,
            "a provider's exchangers throttle a third of the mail",
            each(at, 40, 2 * SECOND, move |at, no| straight(at, no, 3)),
        ),
        none("a provider's exchangers throttle every tenth message", each(at, 90, 2 * SECOND, move |at, no| straight(at, no, 10))),
        none("throttled twice", each(at, 2, 20 * SECOND, throttled)),
        none("a third of a day's quota, over the day", each(at, 120, 4 * SECOND, |at, no| through("quota", at, no).record())),
        none(
            "greylisting, and again after six minutes",
            each(at, 60, 2 * SECOND, |at, no| {
                let sample = mail(at, no).to(&[&format!("p{no}@d{}.example", no % 300)]);
                sample.refused(Stage::RcptTo, 451, "4.7.1 Greylisted, please try again in 300 seconds", Cause::Greylisted).record()
            })
            .into_iter()
            .chain(each(at + 6 * MINUTE, 60, 2 * SECOND, |at, no| mail(at, no).to(&[&format!("p{no}@d{}.example", no % 300)]).record()))
            .collect(),
        ),
    ]
}
