//! Messages as reports: whatever comes, and wherever it is cut off, what is read is bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relayscope::message::report::{MOST_RECIPIENTS, MOST_TEXT, Report, read};

fn check(report: Option<&Report>) {
    let Some(report) = report else { return };
    assert!(report.recipients.len() <= MOST_RECIPIENTS);
    let texts = report.recipients.iter().filter_map(|it| it.text.as_ref());
    let all = texts.chain(&report.original_message_id).chain(&report.original_subject).chain(&report.envid).chain(&report.reporting_mta);
    all.for_each(|it| assert!(it.len() <= MOST_TEXT));
    assert!(report.recipients.iter().all(|it| it.address.contains('@')));
}

fuzz_target!(|data: &[u8]| {
    let Some((&at, message)) = data.split_first() else { return };
    let whole = read(message);
    check(whole.as_ref());
    assert_eq!(whole, read(message));
    check(read(message.get(..message.len() * usize::from(at) / 256).unwrap_or_default()).as_ref());
});
