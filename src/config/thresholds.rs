//! `[anomaly.…]`: from what on something is an incident, table by table, with each detector's own defaults.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::Interval;
use crate::anomaly;

/// A table of thresholds: numbers as they are, factors and shares (so many to one) as whole numbers, spans of time.
macro_rules! thresholds {
    ($(#[$meta:meta])* $name:ident => $options:path {
        $(numbers { $($(#[$number_doc:meta])* $number:ident: $type:ty),+ $(,)? })?
        $(factors { $($(#[$factor_doc:meta])* $factor:ident = $float:ident: $float_type:ty, $to_one:literal),+ $(,)? })?
        $(spans { $($(#[$span_doc:meta])* $span:ident = $us:ident),+ $(,)? })?
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        #[schemars(inline)]
        pub struct $name {
            $($($(#[$number_doc])* pub $number: $type,)+)?
            $($($(#[$factor_doc])* pub $factor: u32,)+)?
            $($($(#[$span_doc])* pub $span: Interval,)+)?
        }

        impl Default for $name {
            fn default() -> Self {
                let it = <$options>::default();
                Self {
                    $($($number: it.$number,)+)?
                    $($($factor: (it.$float * $to_one).round() as u32,)+)?
                    $($($span: Interval::of_us(it.$us),)+)?
                }
            }
        }

        impl $name {
            pub(super) fn put_into(&self, it: &mut $options) {
                $($(it.$number = self.$number;)+)?
                $($(it.$float = (f64::from(self.$factor) / $to_one) as $float_type;)+)?
                $($(it.$us = self.$span.us();)+)?
            }
        }
    };
}

thresholds! {
    /// Logins that fail.
    Auth => anomaly::auth::Options {
        numbers {
            /// Refused logins of an account from a client that it usually logs in from.
            account_failures: u64,
            /// Refused logins of an account that is not known, within half an hour.
            stranger_failures: u64,
            /// User names that one client tried within ten minutes, all of them in vain.
            guessing_users: usize,
            /// Refused logins of one client within ten minutes.
            guessing_failures: u64,
            /// Refusals (5xx) of the proxy's own login since its last success.
            own_failures: u64,
            /// The same for refusals that may pass (4xx).
            own_deferrals: u64,
            /// Accounts known to work that were refused within ten minutes while nobody got in.
            all_accounts: usize,
            /// Refusals of a way to log in within an hour.
            mechanism_refusals: u64,
        }
    }
}

thresholds! {
    /// Upstreams that are down, slow or closing.
    Health => anomaly::upstream::Options {
        numbers {
            /// Times that a host goes down and comes up within an hour.
            flaps: u64,
            /// Names that can't be looked up within five minutes, while hardly any can.
            dns_names: usize,
            /// Look-ups of one domain that nobody answers.
            dns_failures: u64,
            /// Samples of a phase within ten minutes that are compared with what is usual.
            slow_samples: usize,
            /// Samples that say what is usual.
            slow_known: u64,
            /// Sessions that the upstream ended within a quarter of an hour.
            closings: u64,
            /// Refusals for too many connections within a quarter of an hour.
            connection_limits: u64,
        }
        factors {
            /// A phase is slow when nine of ten samples take so many times what is usual.
            slow_factor = slow_factor: f64, 1.0,
        }
        spans {
            /// A host is down when nobody got through in attempts so far apart.
            down_after = down_after_us,
            /// The same for a mail exchanger of somebody else's.
            exchanger_down_after = exchanger_down_after_us,
            /// One domain's DNS fails when nothing was answered for so long.
            dns_domain_after = dns_domain_after_us,
            /// Below this a connection is never slow.
            slow_connect = slow_connect_us,
            /// The same for a greeting.
            slow_banner = slow_banner_us,
            /// The same for a TLS handshake.
            slow_tls = slow_tls_us,
            /// The same for a login.
            slow_auth = slow_auth_us,
            /// The same for the reply to end-of-data.
            slow_end_of_data = slow_end_of_data_us,
        }
    }
}

thresholds! {
    /// Spikes and silence, against what is usual at that hour of the week.
    Volume => anomaly::volume::Options {
        numbers {
            /// Recipients an hour of one user or sender below which nothing is a spike.
            spike_recipients: u32,
            /// The same for messages an hour of one client.
            spike_messages: u32,
            /// Recipients an hour of a user or sender known for less than a day.
            newcomer_recipients: u32,
            /// Users, senders, clients and listeners whose habits are kept, 560 octets each.
            most: usize,
        }
        factors {
            /// A spike is so many times what is usual.
            spike_factor = spike_factor: f32, 1.0,
            /// Silence is told if it is so improbable: 6 is one to a million.
            silence_improbable = silence_improbable: f32, 1.0,
            /// Messages an hour below which nobody misses a client.
            silence_messages = silence_messages: f32, 1.0,
            /// Messages within at most three hours, with nothing around them, that are a batch and missed if it doesn't come.
            batch_messages = batch_messages: f32, 1.0,
        }
        spans {
            /// Silence shorter than that is none.
            silence = silence_us,
            /// A batch is missing when nothing has come so long after its usual hours.
            batch_late = batch_late_us,
        }
    }
}

thresholds! {
    /// Circles, harvests, bounces, unknown addresses, full mailboxes.
    Flow => anomaly::flow::Options {
        numbers {
            /// `Received` lines of a message that goes round in a circle.
            loop_hops: u32,
            /// Times that the same message comes by within an hour, each time with more of them.
            loop_times: u32,
            /// Unknown recipients of one client within an hour.
            harvest_recipients: usize,
            /// Bounces to one address within an hour.
            bounces: u32,
            /// Messages to the same unknown address.
            unknown_times: u32,
            /// Failures at the same full mailbox.
            full_times: u32,
        }
        factors {
            /// Percent of a client's recipients that are unknown.
            harvest_percent = harvest_share: f32, 100.0,
        }
        spans {
            /// Messages to the same unknown address count for so long.
            unknown_within = unknown_us,
            /// A mailbox is full for so long.
            full_for = full_us,
        }
    }
}

thresholds! {
    /// TLS, certificates, and what servers show of themselves.
    Peers => anomaly::peers::Options {
        numbers {
            /// Messages after which a peer's TLS is known.
            tls_known: u32,
            /// Sessions after which a peer's greeting, keywords and certificate are known.
            peer_known: u32,
            /// Sessions in a row that show what is new.
            peer_sightings: u32,
        }
        factors {
            /// Percent of a peer's mail below which a level of TLS is none of its own.
            tls_percent = tls_share: f32, 100.0,
        }
        spans {
            /// A certificate that ends within so long.
            certificate_expires = expires_us,
            /// The same, and it is urgent.
            certificate_urgent = expires_urgent_us,
            /// A peer is known for so long at least.
            peer_known_for = peer_known_us,
        }
    }
}

thresholds! {
    /// Smuggling, probes and scans.
    Protocol => anomaly::protocol::Options {
        numbers {
            /// Refusals to relay for one client within an hour.
            relay_probes: u64,
            /// Sessions of one client within an hour that speak something other than SMTP, or out of turn.
            scans: u64,
            /// Sessions of one client within an hour that say nothing at all.
            silent_sessions: u64,
            /// Messages without bare newlines after which such ones are news from a client.
            clean_messages: u32,
        }
    }
}

thresholds! {
    /// Refusals that are a matter of reputation.
    Reputation => anomaly::reputation::Options {
        numbers {
            /// Refusals within a day that name no block list known; of one that is known, the first is told.
            unnamed_blocklist: u64,
            /// Refusals within a day because of reverse DNS.
            reverse_dns: u64,
            /// Refusals within a day because of SPF, DKIM or DMARC, of one sender's domain by one receiver.
            sender_auth: u64,
            /// The same as a share of what was tried there. Percent.
            sender_auth_percent: u64,
            /// Recipients that one destination refused within ten minutes.
            ratio_refused: u64,
            /// The same as a share of all. Percent.
            ratio_percent: u64,
            /// Verdicts of spam within an hour.
            spam_verdicts: u64,
            /// The same as a share of the mail. Percent.
            spam_percent: u64,
        }
        factors {
            /// So many times what a destination usually refuses.
            ratio_factor = ratio_factor: f64, 1.0,
        }
    }
}
