//! What the operating system lets the process have.

use super::super::Check;
use super::super::options::Options;

/// Each session takes two descriptors. `None` where this process isn't the proxy: its limits say nothing.
pub(super) fn check(options: &Options, running: bool) -> Option<Check> {
    if !running {
        return None;
    }
    let why = "without descriptors no connection is taken, and clients see the port closed";
    let check = Check::asking("own.descriptors", "open files of this process and their limit", why);
    let (limit, _) = rlimit::getrlimit(rlimit::Resource::NOFILE).ok()?;
    let sessions = options.sessions.iter().map(|it| it.limits.sessions).max().unwrap_or_default();
    let wanted = 2 * sessions as u64;
    let open = std::fs::read_dir("/proc/self/fd").map(Iterator::count).ok();
    let answer = match open {
        Some(open) => format!("{open} open of {limit}; {sessions} sessions may need {wanted}"),
        None => format!("{limit}; {sessions} sessions may need {wanted}"),
    };
    let fix = "Raise LimitNOFILE in the systemd unit (or `ulimit -n`), or lower `sessions` in [limits].";
    Some(match open {
        Some(open) if open as u64 * 10 > limit * 9 => check.fail(answer, fix),
        _ if limit < wanted => check.warn(answer, fix),
        _ => check.ok(answer),
    })
}
