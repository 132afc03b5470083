//! `[limits]`, `[store]` and `[http]`: ranges are held by the schema; here is what depends on more than one of them.

use std::path::PathBuf;
use std::time::Duration;

use super::problem::Findings;
use super::raw::{self, Raw};
use super::staging::StagingPlace;
use super::units::Interval;
use crate::relay::options as relay;
use crate::store;

/// RFC 5321 4.5.3.2.6.
const END_OF_DATA_ASKED: Duration = Duration::from_secs(600);

pub(super) fn limits(raw: &Raw, findings: &mut Findings) -> relay::Limits {
    let limits = &raw.limits;
    let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let octets = |octets: super::units::Octets| usize::try_from(octets.0).unwrap_or(usize::MAX);
    relay::Limits {
        sessions: count(limits.sessions),
        sessions_per_client: count(limits.sessions_per_client),
        command_line: octets(limits.command_line),
        auth_line: octets(limits.auth_line),
        reply_line: octets(limits.reply_line),
        reply_lines: count(limits.reply_lines),
        message_size: limits.message_size.0,
        recipients: count(limits.recipients),
        recorded_recipients: count(limits.recorded_recipients),
        timeline_lines: count(limits.timeline_lines),
        timeline_line: octets(limits.timeline_line),
        header_capture: octets(limits.header_capture),
        report_capture: octets(limits.report_capture),
        client_errors: limits.client_errors,
        bare_newline: limits.bare_newline.into(),
        timeouts: timeouts(&limits.timeouts, raw.store.store_wait, findings),
    }
}

fn timeouts(raw: &raw::Timeouts, store_wait: Interval, findings: &mut Findings) -> relay::Timeouts {
    if raw.drain.0 < raw.end_of_data.0 {
        let given = findings.places.is_given("limits.timeouts.drain");
        let (path, default) = if given { ("limits.timeouts.drain", "") } else { ("limits.timeouts.end_of_data", " (the default)") };
        findings.refuse(
            path,
            format!(
                "[limits.timeouts]: drain = \"{0}\"{default} is shorter than end_of_data = \"{1}\", so that a stop could cut off transactions \
                 whose outcome is still to come: write drain = \"{1}\" or more (and as much as TimeoutStopSec in the systemd unit)",
                raw.drain, raw.end_of_data
            ),
        );
    }
    if raw.end_of_data.0 < END_OF_DATA_ASKED {
        findings.warn(
            "limits.timeouts.end_of_data",
            format!(
                "[limits.timeouts]: end_of_data = \"{}\" is less than the 10m that RFC 5321 4.5.3.2.6 asks for: a slow smart host may still \
                 take a message that its sender was told to send again",
                raw.end_of_data
            ),
        );
    }
    if raw.client_command.0 < raw.reply.0 {
        let given = |name: &str| findings.places.is_given(&format!("limits.timeouts.{name}"));
        let path = if given("client_command") { "limits.timeouts.client_command" } else { "limits.timeouts.reply" };
        findings.warn(
            path,
            format!(
                "[limits.timeouts]: client_command = \"{}\" is shorter than reply = \"{}\": an idle client is ended here before the smart host \
                 would, in its own words",
                raw.client_command, raw.reply
            ),
        );
    }
    relay::Timeouts {
        dns: raw.dns.0,
        connect: raw.connect.0,
        tls_handshake: raw.tls_handshake.0,
        proxy_header: raw.proxy_header.0,
        banner: raw.banner.0,
        reply: raw.reply.0,
        data_reply: raw.data_reply.0,
        client_command: raw.client_command.0,
        client_data: raw.client_data.0,
        write: raw.write.0,
        end_of_data: raw.end_of_data.0,
        late_reply: raw.late_reply.0,
        drain: raw.drain.0,
        store_wait: store_wait.0,
    }
}

pub(super) fn store(raw: &raw::Store, findings: &mut Findings) -> store::Options {
    if raw.keep_size.0 != 0 && raw.keep_size.0 < 2 * raw.segment_size.0 {
        findings.refuse(
            "store.keep_size",
            format!(
                "[store]: keep_size = \"{}\" is less than two journal files of segment_size = \"{}\": nothing would be kept; raise it, or write 0 for no limit",
                raw.keep_size, raw.segment_size
            ),
        );
    }
    if raw.keep_failures_days != 0 && (raw.keep_days == 0 || raw.keep_failures_days < raw.keep_days) {
        let kept = if raw.keep_days == 0 { "0, which keeps everything for ever".to_owned() } else { raw.keep_days.to_string() };
        findings.refuse(
            "store.keep_failures_days",
            format!(
                "[store]: keep_failures_days = {} is shorter than keep_days = {kept}: failures are kept at least as long as the rest; raise it, \
                 or write 0 for no longer than the rest",
                raw.keep_failures_days
            ),
        );
    }
    if raw.dir.exists() && !raw.dir.is_dir() {
        findings.refuse("store.dir", format!("[store]: dir = {:?} is a file: name a directory", raw.dir));
    }
    if let StagingPlace::Dir(dir) = &raw.staging
        && !dir.is_dir()
    {
        findings.refuse(
            "store.staging",
            format!("[store]: staging = {dir:?} is no directory: name one in memory, or write \"auto\" or \"off\""),
        );
    }
    store::Options {
        dir: raw.dir.clone(),
        durability: raw.durability.into(),
        staging: staging(raw),
        sync_every: raw.sync_every.0,
        queue_octets: usize::try_from(raw.queue_size.0).unwrap_or(usize::MAX),
        segment_octets: raw.segment_size.0,
        cache_octets: raw.cache_size.0,
        keep_days: raw.keep_days,
        keep_failures_days: raw.keep_failures_days,
        keep_dialogues_days: raw.keep_dialogues_days,
        keep_octets: raw.keep_size.0,
        keep_free_octets: raw.keep_free_size.0,
    }
}

/// Where untraced mail is not passed, a record counts only once it is in the journal: memory would promise more than it can keep.
fn staging(raw: &raw::Store) -> Option<PathBuf> {
    match &raw.staging {
        _ if raw.on_store_failure == raw::OnStoreFailure::Defer => None,
        StagingPlace::Off => None,
        StagingPlace::Auto => store::default_staging_dir(),
        StagingPlace::Dir(dir) => Some(dir.clone()),
    }
}

/// Directives that nobody understands would be left out silently.
pub(super) fn log(raw: &Raw, findings: &mut Findings) {
    let Some(filter) = &raw.log.filter else { return };
    if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(filter) {
        let wanted = "write for example \"relayscope::store=debug\", several with commas";
        findings.refuse("log.filter", format!("[log]: filter = {filter:?} can't be read ({error}): {wanted}"));
    }
}

pub(super) fn http(raw: &Raw, findings: &mut Findings) {
    let Some(address) = raw.http.listen.0 else { return };
    if !address.ip().is_loopback() {
        findings.refuse(
            "http.listen",
            format!(
                "[http]: listen = \"{address}\" would show every trace to whoever can reach it, without a login: write \"127.0.0.1:{}\", and come in \
                 through `ssh -L` or a proxy of your own that asks who is there",
                address.port()
            ),
        );
    }
    let taken = raw.listener.iter().find(|listener| listener.listen.iter().any(|listen| super::listeners::collide(listen.0, address)));
    if let Some(listener) = taken {
        findings
            .refuse("http.listen", format!("[http]: listen = \"{address}\" is taken by listener {:?}: choose another port", listener.name));
    }
}
