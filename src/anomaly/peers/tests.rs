//! Servers that change: TLS, certificates, greetings.

use super::*;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::samples::{MONDAY, Sample, mail};
use crate::anomaly::seen::Seen;
use crate::anomaly::window::{HOUR, MINUTE, SECOND};
use crate::trace::{Anomaly, Flag, Severity, Tls as TlsOf, Upstream, WallMicros};

/// Lets a detector see mail, an hour apart, and judges after each.
struct Run<D> {
    detector: D,
    now: WallMicros,
    no: u64,
    cleared: usize,
}

impl<D: Detector> Run<D> {
    fn new(detector: D) -> Self {
        Self { detector, now: MONDAY, no: 0, cleared: 0 }
    }

    /// So many messages; everything that was raised.
    fn send(&mut self, count: u64, change: impl Fn(u64, Sample) -> Sample) -> Vec<Finding> {
        let mut raised = Vec::new();
        for no in 0..count {
            self.now += HOUR;
            self.no += 1;
            let record = change(no, mail(self.now, self.no)).record();
            self.detector.observe(&Seen::of(&record));
            let mut findings = Findings::default();
            self.detector.judge(self.now + 10 * SECOND, &mut findings);
            self.cleared += findings.cleared.len();
            raised.extend(findings.raised);
        }
        raised
    }
}

fn with_tls(upstream: &mut Upstream, version: &str, verified: bool) {
    upstream.tls = Some(TlsOf {
        version: version.to_owned(),
        cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
        subject: Some("CN=main.example.net".to_owned()),
        issuer: Some("C=US, O=Authority, CN=R11".to_owned()),
        expires_at: Some(MONDAY + 80 * DAY),
        verified: Some(verified),
        why_not: (!verified).then(|| "the certificate is self-signed".to_owned()),
        ..TlsOf::default()
    });
}

fn good(sample: Sample) -> Sample {
    sample.upstream(|it| with_tls(it, "TLSv1.3", true))
}

#[test]
fn tls_that_was_always_there_is_missed() {
    let mut run = Run::new(tls::Tls::new(Options::default()));
    assert_eq!(run.send(50, |_, it| good(it)), []);
    let raised = run.send(1, |_, it| it);
    let [finding] = raised.as_slice() else { panic!("{raised:?}") };
    assert_eq!((finding.anomaly, finding.severity), (Anomaly::TlsDowngrade, Severity::Warning));
    assert_eq!(finding.summary, "TLS to main.example.net is weaker than it was: TLSv1.3 before, now in clear");
    let change = finding.change.clone().unwrap();
    assert_eq!((change.before.as_str(), change.last_before), ("TLSv1.3", Some(MONDAY + 50 * HOUR)));
    let older = run.send(1, |_, it| it.upstream(|it| with_tls(it, "TLSv1.2", true)));
    assert_eq!(older.len(), 1, "{older:?}");
    // For days like that, it is how things are.
    run.send(80, |_, it| it.upstream(|it| with_tls(it, "TLSv1.2", true)));
    assert_eq!(run.send(10, |_, it| it.upstream(|it| with_tls(it, "TLSv1.2", true))), []);
}

#[test]
fn a_certificate_that_is_verified_no_more_is_told_and_history_is_kept() {
    let mut run = Run::new(tls::Tls::new(Options::default()));
    assert_eq!(run.send(50, |_, it| good(it)), []);
    let mut back = Run::new(tls::Tls::new(Options::default()));
    assert!(back.detector.restore(&run.detector.keep()) && !back.detector.restore(&[9]));
    back.now = run.now;
    let raised = back.send(1, |_, it| it.upstream(|it| with_tls(it, "TLSv1.3", false)));
    let [finding] = raised.as_slice() else { panic!("{raised:?}") };
    assert!(
        finding.summary.ends_with("certificate verified before, now not verified: the certificate is self-signed"),
        "{}",
        finding.summary
    );
}

#[test]
fn pools_with_old_and_new_servers_are_no_downgrade() {
    let mut run = Run::new(tls::Tls::new(Options::default()));
    let version = |no: u64| if no.is_multiple_of(7) { "TLSv1.2" } else { "TLSv1.3" };
    assert_eq!(run.send(300, |no, it| it.upstream(|it| with_tls(it, version(no), true))), []);
    // Nor is a server that never had TLS.
    let mut run = Run::new(tls::Tls::new(Options::default()));
    assert_eq!(run.send(100, |_, it| it.upstream(|it| it.offered.clear()).flag(Flag::StarttlsMissing)), []);
}

#[test]
fn starttls_that_goes_missing_is_one_finding() {
    let mut run = Run::new(tls::Tls::new(Options::default()));
    run.send(50, |_, it| good(it));
    let raised = run.send(1, |_, it| it.upstream(|it| it.offered.retain(|line| line != "STARTTLS")).flag(Flag::StarttlsMissing));
    let [finding] = raised.as_slice() else { panic!("{raised:?}") };
    assert_eq!(finding.anomaly, Anomaly::StarttlsStripped);
    // A keyword painted over says it all by itself.
    let mut run = Run::new(tls::Tls::new(Options::default()));
    let raised = run.send(1, |_, it| it.upstream(|it| it.offered = vec!["XXXXXXXA".to_owned()]).flag(Flag::MiddleboxSuspected));
    assert_eq!(raised[0].summary, "a firewall between here and main.example.net paints STARTTLS over: mail goes in clear");
}

#[test]
fn a_certificate_is_told_two_weeks_before_and_until_it_is_renewed() {
    let mut run = Run::new(certificate::Certificates::new(Options::default()));
    let ends = |days: u64| {
        move |_: u64, it: Sample| {
            it.upstream(|it| {
                with_tls(it, "TLSv1.3", true);
                if let Some(tls) = &mut it.tls {
                    tls.expires_at = Some(MONDAY + days * DAY);
                }
            })
        }
    };
    assert_eq!(run.send(10, ends(80)), []);
    let raised = run.send(2, ends(10));
    assert_eq!((raised[0].anomaly, raised[0].severity, raised.len()), (Anomaly::CertificateExpiring, Severity::Warning, 2));
    assert_eq!(raised[0].summary, "the certificate of main.example.net (CN=main.example.net) expires in 9 days: 2026-12-03 00:00 UTC");
    assert_eq!(run.send(1, ends(2))[0].severity, Severity::Critical);
    run.now = MONDAY + 3 * DAY;
    assert!(run.send(1, ends(2))[0].summary.contains("has expired"));
    assert_eq!(run.send(2, ends(90)), []);
    assert_eq!(run.cleared, 1);
}

#[test]
fn a_certificate_renewed_under_another_subject_is_renewed() {
    let mut run = Run::new(certificate::Certificates::new(Options::default()));
    let shows = |days: u64, subject: &'static str| {
        move |_: u64, it: Sample| {
            it.upstream(|it| {
                with_tls(it, "TLSv1.3", true);
                if let Some(tls) = &mut it.tls {
                    (tls.expires_at, tls.subject) = (Some(MONDAY + days * DAY), Some(subject.to_owned()));
                }
            })
        }
    };
    assert_eq!(run.send(1, shows(10, "CN=main.example.net")).len(), 1);
    // Another host of a pool has another, which says nothing of the first.
    run.send(1, shows(90, "CN=*.example.net"));
    assert_eq!(run.cleared, 0);
    run.now += DAY / 2;
    assert_eq!(run.send(2, shows(90, "CN=*.example.net")), []);
    assert_eq!(run.cleared, 1);
}

#[test]
fn a_server_that_is_another_one_is_told_once() {
    let mut run = Run::new(changed::Changed::new(Options::default()));
    let as_always = |no: u64, it: Sample| good(it).upstream(|it| it.banner = Some(format!("main.example.net ESMTP id{no} ready")));
    assert_eq!(run.send(50, as_always), []);
    let other = |no: u64, it: Sample| {
        as_always(no, it).upstream(|it| {
            it.banner = Some("main.example.net ESMTP Exim ready".to_owned());
            it.software = Some("Exim".to_owned());
            it.offered = vec!["SIZE 10485760".to_owned(), "8BITMIME".to_owned()];
        })
    };
    let raised = run.send(10, other);
    let [finding] = raised.as_slice() else { panic!("{raised:?}") };
    assert_eq!((finding.anomaly, finding.severity), (Anomaly::PeerChanged, Severity::Notice));
    assert!(
        finding.summary.starts_with("main.example.net shows another banner, software, EHLO keywords, size limit since "),
        "{}",
        finding.summary
    );
    let change = finding.change.clone().unwrap();
    assert_eq!(change.after, "main.example.net ESMTP Exim ready");
    // Back again: known.
    assert_eq!(run.send(10, as_always), []);
}

#[test]
fn pools_and_renewed_certificates_are_no_change() {
    let mut run = Run::new(changed::Changed::new(Options::default()));
    let pool = |no: u64, it: Sample| good(it).upstream(|it| it.software = Some(format!("Server {}", no % 3)));
    assert_eq!(run.send(100, pool), []);
    // A new member of the pool doesn't come three times in a row.
    let grown = |no: u64, it: Sample| good(it).upstream(|it| it.software = Some(format!("Server {}", no % 4)));
    assert_eq!(run.send(100, grown), []);
    let renewed = |_: u64, it: Sample| {
        good(it).upstream(|it| {
            it.software = Some("Server 1".to_owned());
            if let Some(tls) = &mut it.tls {
                (tls.issuer, tls.expires_at) = (Some("C=US, O=Authority, CN=R12".to_owned()), Some(MONDAY + 200 * DAY));
            }
        })
    };
    assert_eq!(run.send(10, renewed), []);
    let mut back = Run::new(changed::Changed::new(Options::default()));
    assert!(back.detector.restore(&run.detector.keep()) && !back.detector.restore(&[]));
    back.now = run.now + MINUTE;
    assert_eq!(back.send(10, renewed), []);
}

#[test]
fn what_is_worse_for_three_days_is_how_it_is_now_whatever_the_pauses() {
    let stripped = |_: u64, it: Sample| it.upstream(|it| it.offered = vec!["XXXXXXXA".to_owned()]).flag(Flag::MiddleboxSuspected);
    let older = |_: u64, it: Sample| it.upstream(|it| with_tls(it, "TLSv1.2", true));
    for (change, is_stripped) in [(&stripped as &dyn Fn(u64, Sample) -> Sample, true), (&older, false)] {
        let mut run = Run::new(tls::Tls::new(Options::default()));
        assert_eq!(run.send(50, |_, it| good(it)), []);
        let worse = |run: &mut Run<tls::Tls>, count: u64| {
            let mut raised = Vec::new();
            for _ in 0..count {
                run.now += 4 * HOUR;
                raised.extend(run.send(1, change));
            }
            raised
        };
        let raised = worse(&mut run, 10);
        assert!(raised.len() == 10 && raised.iter().all(|it| it.since == raised[0].since), "{raised:?}");
        // One incident in spite of the pauses.
        assert!(raised.iter().all(|it| it.quiet_after_us == Some(DAY)));
        worse(&mut run, 6);
        assert_eq!(worse(&mut run, 30), []);
        assert_eq!(run.cleared, 1);
        // As it was, and then worse again: told, where it isn't one of two that are usual.
        run.now += 4 * HOUR;
        assert_eq!(run.send(60, |_, it| good(it)), []);
        assert_eq!(worse(&mut run, 1).len(), usize::from(is_stripped));
        run.now += 4 * HOUR;
        run.send(1, |_, it| good(it));
        assert_eq!(run.cleared > 1, is_stripped);
    }
}
