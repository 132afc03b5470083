//! What is read of a message while it passes: its header section, and of a delivery report what it reports.

use super::options::Limits;
use crate::message::{HeaderCapture, Headers, ReportCapture, report};
use crate::trace::Report;

/// Takes the octets of one message, in any split.
#[derive(Debug)]
pub(super) struct Reading {
    capture: Option<HeaderCapture>,
    headers: Option<Box<Headers>>,
    reports: Reports,
    dot_stuffed: bool,
}

/// Whether the message may be a delivery report, and then its copy. Of others nothing is kept but the header.
#[derive(Debug)]
enum Reports {
    /// From the null sender all may be one; from others, what says so of itself. The limit in octets.
    Open {
        null_sender: bool,
        limit: usize,
    },
    Captured(Box<ReportCapture>),
    None,
}

impl Reading {
    pub fn new(limits: &Limits, null_sender: bool, dot_stuffed: bool) -> Self {
        let capture = match dot_stuffed {
            true => HeaderCapture::for_data(limits.header_capture),
            false => HeaderCapture::for_bdat(limits.header_capture),
        };
        let reports = match limits.report_capture {
            0 => Reports::None,
            limit => Reports::Open { null_sender, limit },
        };
        Self { capture: Some(capture), headers: None, reports, dot_stuffed }
    }

    pub fn look(&mut self, octets: &[u8]) {
        match (&mut self.capture, &mut self.reports) {
            (Some(capture), _) => {
                if let Some(behind) = capture.feed_to_end(octets) {
                    let (headers, section) = capture.finish_with_octets();
                    self.header_ended(headers, section, behind);
                }
            }
            (None, Reports::Captured(copy)) => copy.feed(octets),
            (None, _) => {}
        }
    }

    fn header_ended(&mut self, headers: Headers, section: Vec<u8>, behind: &[u8]) {
        self.capture = None;
        self.reports = match self.reports {
            Reports::Open { null_sender, limit } if (null_sender || headers.is_report) && !headers.cut => {
                let mut copy = ReportCapture::behind(section, limit, self.dot_stuffed);
                copy.feed(behind);
                Reports::Captured(Box::new(copy))
            }
            _ => Reports::None,
        };
        self.headers = Some(Box::new(headers));
    }

    /// The message has ended, or will not: what its header says.
    pub fn headers(&mut self) -> Option<Box<Headers>> {
        self.headers.take().or_else(|| self.capture.take().map(|mut capture| Box::new(capture.finish())))
    }

    /// The message is whole: what it tells of another one.
    pub fn report(&mut self) -> Option<Box<Report>> {
        let Reports::Captured(copy) = std::mem::replace(&mut self.reports, Reports::None) else { return None };
        let (octets, cut) = copy.finish();
        let mut report = Report::from(report::read(&octets)?);
        report.cut |= cut;
        Some(Box::new(report))
    }
}
