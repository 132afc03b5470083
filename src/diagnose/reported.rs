//! Why a delivery report says that a recipient wasn't reached.

use crate::message::report::{Action, Report, ReportKind, Reported};
use crate::smtp::Stage;

use super::{Facts, Rules, Verdict};

impl Rules {
    /// The cause of what a report says of a recipient; `None` where nothing went wrong.
    pub fn classify_reported<'r>(&'r self, report: &Report, recipient: &Reported) -> Option<Verdict<'r>> {
        let failed = matches!(recipient.action, Action::Failed | Action::Delayed);
        (failed && report.kind == ReportKind::DeliveryStatus).then(|| {
            self.classify(&Facts {
                stage: Some(Stage::AfterAcceptance),
                code: recipient.reply_code,
                enhanced: recipient.status,
                text: recipient.text.as_deref().unwrap_or_default(),
                host: recipient.remote_mta.as_deref().or(report.reporting_mta.as_deref()),
                banner: None,
            })
        })
    }
}
