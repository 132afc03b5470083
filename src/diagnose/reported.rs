//! Why a delivery report says that a recipient wasn't reached.

use crate::message::report::{Report, Reported};
use crate::smtp::Stage;

use super::{Facts, Rules, Verdict};

impl<'a> Facts<'a> {
    /// Of what a report says of a recipient: code, status, text and speaker of the reply it quotes; and who reports.
    pub fn reported(
        code: Option<u16>,
        enhanced: Option<(u8, u16, u16)>,
        text: Option<&'a str>,
        remote_mta: Option<&'a str>,
        reporting_mta: Option<&'a str>,
    ) -> Self {
        let host = remote_mta.or(reporting_mta);
        Self { stage: Some(Stage::AfterAcceptance), code, enhanced, text: text.unwrap_or_default(), host, banner: None }
    }
}

impl Rules {
    /// The cause of what a report says of a recipient; `None` where nothing went wrong.
    pub fn classify_reported<'r>(&'r self, report: &Report, it: &Reported) -> Option<Verdict<'r>> {
        let (text, remote, reporting) = (it.text.as_deref(), it.remote_mta.as_deref(), report.reporting_mta.as_deref());
        it.action.is_failure().then(|| self.classify(&Facts::reported(it.reply_code, it.status, text, remote, reporting)))
    }
}
