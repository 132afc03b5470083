//! Which programs this machine has, and what becomes of a test that misses one.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Under this variable a missing peer fails the test instead of skipping it.
const REQUIRE: &str = "RELAYSCOPE_TESTS_REQUIRE_PEERS";

/// Where a program is; administrators' directories count too.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let dirs = path.split(':').chain([
        "/usr/sbin",
        "/sbin",
        "/usr/local/sbin",
        "/usr/lib/postfix/sbin",
        "/usr/libexec/postfix",
        "/usr/lib/dovecot",
        "/usr/libexec/dovecot",
    ]);
    dirs.map(|dir| PathBuf::from(dir).join(program)).find(|file| file.is_file())
}

pub fn path_of(program: &str) -> PathBuf {
    find(program).unwrap_or_else(|| panic!("{program} is not installed"))
}

pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0)
}

/// Whether the test can run. If not: says so, or fails where peers are required.
pub fn present(test: &str, wanted: &[&str]) -> bool {
    let missing: Vec<&str> = wanted.iter().copied().filter(|it| if *it == "root" { !is_root() } else { find(it).is_none() }).collect();
    if missing.is_empty() {
        return true;
    }
    skip(test, &format!("needs {}", missing.join(", ")));
    false
}

/// The test can't run here.
pub fn skip(test: &str, why: &str) {
    assert!(std::env::var_os(REQUIRE).is_none(), "{test}: {why}, and {REQUIRE} is set");
    eprintln!("SKIPPED {test}: {why}");
}

/// Leaves the test unless all these programs (or the right, `root`) are there.
#[allow(unused_macros, reason = "shared with tests that ask in another way")]
macro_rules! need {
    ($($program:literal),+ $(,)?) => {
        if !$crate::support::programs::present(module_path!(), &[$($program),+]) {
            return;
        }
    };
}
#[allow(unused_imports, reason = "the same")]
pub(crate) use need;
