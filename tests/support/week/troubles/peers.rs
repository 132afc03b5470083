//! A server that is another than before: its TLS, its certificate, its greeting; and renewals and pools that are everyday.

use relayscope::trace::{Flag, Tls};

use super::*;

fn flagged(record: Option<Record>, flag: Flag) -> Option<Record> {
    record.map(|mut record| {
        if let Record::Transaction(it) = &mut record
            && it.upstream.name == "main"
        {
            it.flags.push(flag);
        }
        record
    })
}

/// So many ordinary messages, changed as all others are from then on.
fn changed(at: WallMicros, count: u64, change: fn(&mut Upstream)) -> Vec<Record> {
    each(at, count, 20 * SECOND, move |at, no| mail(at, no).upstream(change).record())
}

fn to_all(change: fn(&mut Upstream)) -> impl Fn(Record) -> Option<Record> + Send + Sync + 'static {
    move |record| at_main(record, change)
}

fn with_tls(upstream: &mut Upstream, change: impl FnOnce(&mut Tls)) {
    if let Some(tls) = &mut upstream.tls {
        change(tls);
    }
}

fn in_clear(it: &mut Upstream) {
    it.tls = None;
}

fn stripped(it: &mut Upstream) {
    it.tls = None;
    it.offered.retain(|line| line != "STARTTLS");
}

fn older(it: &mut Upstream) {
    with_tls(it, |tls| tls.version = "TLSv1.2".to_owned());
}

fn untrusted(it: &mut Upstream) {
    with_tls(it, |tls| (tls.verified, tls.why_not) = (Some(false), Some("the certificate is self-signed".to_owned())));
}

fn renewed(it: &mut Upstream) {
    with_tls(it, |tls| {
        tls.issuer = Some("C=US, O=Authority, CN=R12".to_owned());
        tls.expires_at = tls.expires_at.map(|at| at + 60 * DAY);
    });
}

fn another(it: &mut Upstream) {
    it.banner = Some("main.example.net ESMTP Exim ready".to_owned());
    it.software = Some("Exim".to_owned());
    it.offered = ["SIZE 10485760", "8BITMIME", "STARTTLS"].map(str::to_owned).to_vec();
}

fn other_issuer(it: &mut Upstream) {
    with_tls(it, |tls| tls.issuer = Some("CN=Firewall of our own".to_owned()));
}

pub fn situations(at: WallMicros) -> Vec<Situation> {
    let ends_in = |days: u64, count: u64| {
        let expires = at + days * DAY;
        let records = each(at, count, 20 * SECOND, move |at, no| {
            mail(at, no).upstream(|it| with_tls(it, |tls| tls.expires_at = Some(expires))).record()
        });
        (records, move |record| at_main(record, |it| with_tls(it, |tls| tls.expires_at = Some(expires))))
    };
    let ((soon, soon_all), (urgent, urgent_all), (far, far_all)) = (ends_in(10, 1), ends_in(2, 20), ends_in(30, 20));
    let missing = |count| each(at, count, 20 * SECOND, |at, no| mail(at, no).upstream(stripped).flag(Flag::StarttlsMissing).record());
    vec![
        trouble(Anomaly::TlsDowngrade, "one message goes in clear", changed(at, 1, in_clear)),
        trouble(Anomaly::TlsDowngrade, "all mail has an older version", changed(at, 20, older)).instead(to_all(older)),
        trouble(Anomaly::TlsDowngrade, "the certificate is verified no more", changed(at, 20, untrusted)).instead(to_all(untrusted)),
        trouble(Anomaly::StarttlsStripped, "STARTTLS isn't offered once", missing(1)).beside(&[Anomaly::TlsDowngrade]),
        trouble(Anomaly::StarttlsStripped, "STARTTLS isn't offered any more", missing(20))
            .instead(|record| flagged(at_main(record, stripped), Flag::StarttlsMissing))
            .beside(&[Anomaly::PeerChanged]),
        trouble(
            Anomaly::StarttlsStripped,
            "a firewall paints it over",
            each(at, 1, SECOND, |at, no| {
                let painted = |it: &mut Upstream| (it.tls, it.offered) = (None, vec!["PIPELINING".to_owned(), "XXXXXXXA".to_owned()]);
                mail(at, no).upstream(painted).flag(Flag::MiddleboxSuspected).record()
            }),
        ),
        trouble(Anomaly::CertificateExpiring, "ten days, seen once", soon).instead(soon_all),
        trouble(Anomaly::CertificateExpiring, "two days", urgent).instead(urgent_all),
        trouble(Anomaly::PeerChanged, "other software", changed(at, 3, another)).instead(to_all(another)),
        trouble(Anomaly::PeerChanged, "another authority", changed(at, 20, other_issuer)).instead(to_all(other_issuer)),
        none("a planned renewal by the same authority", changed(at, 20, renewed)).instead(to_all(renewed)),
        none("a certificate with a month to go", far).instead(far_all),
        none("one session with another banner", changed(at, 1, |it| it.banner = Some("main.example.net ESMTP standby".to_owned()))),
    ]
}
