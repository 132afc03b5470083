//! The process itself.

use super::page::{Labels, Page, seconds};
use super::sources::{Setup, Sources};

pub(super) fn add(page: &mut Page, sources: &Sources, setup: &Setup) {
    let alone = |number: f64| [(Labels::new(), number)];
    let build = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    page.gauge("relayscope_build_info", "Always 1; what runs is in the labels", [(build, 1.0)]);
    page.gauge("process_start_time_seconds", "When the process began to serve, in seconds since 1970", alone(seconds(sources.started)));
    if let Some(octets) = resident() {
        page.gauge("process_resident_memory_bytes", "Resident memory", alone(octets as f64));
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        page.gauge("process_open_fds", "Open file descriptors", alone(open.count() as f64));
    }
    if let Ok((soft, _)) = rlimit::getrlimit(rlimit::Resource::NOFILE) {
        page.gauge("process_max_fds", "Most file descriptors that may be open", alone(soft as f64));
    }
    page.gauge("relayscope_sessions_limit", "Most sessions at once", alone(setup.sessions_limit as f64));
    let sockets = setup.listeners.iter().map(|it| (vec![("listener", it.name.clone())], it.sockets as f64));
    page.gauge("relayscope_listener_addresses", "Addresses that are listened on", sockets);
    page.gauge(
        "relayscope_draining",
        "1 when no new connections are taken because the process is about to end",
        alone(f64::from(u8::from(setup.draining))),
    );
    let ok = f64::from(u8::from(setup.reload.succeeded));
    page.gauge("relayscope_config_last_reload_successful", "0 if the last attempt to read the configuration anew was refused", alone(ok));
    let at = seconds(setup.reload.at);
    page.gauge("relayscope_config_loaded_timestamp_seconds", "When the configuration in effect was loaded", alone(at));
}

/// Octets, from the system's own count in KiB.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}
