//! Whether a message comes from a mail system and speaks of a failure; and what only looks so.

use super::fields::Fields;

/// Who seems to have sent a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// It says itself that it is a report.
    Reporter,
    /// A null reverse-path, or a mailer daemon's address.
    Daemon,
    /// Somebody whose subject is that of a notice.
    Other,
    /// A person, or a machine that answers for one.
    Person,
}

/// Judges by the header section alone.
pub fn of(fields: &Fields<'_>, report_type: Option<&str>, outer: &str) -> Sender {
    // Read receipts (RFC 8098) and TLS reports (RFC 8460) are reports of other kinds.
    if outer == "multipart/report" {
        return match report_type {
            Some("disposition-notification" | "global-disposition-notification" | "tlsrpt") => Sender::Person,
            _ => Sender::Reporter,
        };
    }
    if fields.has("X-MLServer") {
        return Sender::Daemon;
    }
    if fields.has("X-Failed-Recipients") {
        return Sender::Reporter;
    }
    let subject = fields.first("Subject").unwrap_or_default().trim().to_lowercase();
    if answers(fields, &subject) {
        return Sender::Person;
    }
    let from = fields.first("From").unwrap_or_default().to_lowercase();
    let null = fields.first("Return-Path").is_some_and(|it| {
        let path = it.trim().trim_matches(['<', '>']).to_lowercase();
        path.is_empty() || path.starts_with("mailer-daemon") || path.starts_with("postmaster@")
    });
    if is_named_daemon(fields) {
        return Sender::Daemon;
    }
    // RFC 3834 §5: somebody's answer, a vacation notice for one; some servers call their reports so.
    if !is_of_notice(&subject)
        && fields.first("Auto-Submitted").is_some_and(|it| it.trim().to_ascii_lowercase().starts_with("auto-replied"))
    {
        return Sender::Person;
    }
    if null {
        return Sender::Daemon;
    }
    let notice = subject_says_failure(&subject) && !subject.starts_with("re:") && is_machine(fields, &from);
    if notice { Sender::Other } else { Sender::Person }
}

/// Whether the sender's name is that of a mail system.
pub fn is_named_daemon(fields: &Fields<'_>) -> bool {
    const DAEMONS: &[&str] = &[
        "mailer-daemon",
        "mailerdaemon",
        "mailer daemon",
        "mdaemon@",
        "postmaster",
        "post_master",
        "mail delivery s",
        "mail deliver system",
        "<>",
        "microsoftexchange",
        "bounce@",
        "no-reply@sns.amazonaws.com",
    ];
    let from = fields.first("From").unwrap_or_default().to_lowercase();
    DAEMONS.iter().any(|it| from.contains(it))
}

/// Whether the sender's name, or a field, is that of a machine. What comes over a list isn't sent by one for us.
fn is_machine(fields: &Fields<'_>, from: &str) -> bool {
    const NAMES: &[&str] = &[
        "post_master",
        "postoffice",
        "admin",
        "reply",
        "daemon",
        "system",
        "notif",
        "bounce",
        "server",
        "deliver",
        "mailer",
        "return",
        "support",
        "firewall",
        "gateway",
        "robot",
        "mta",
        "mail@",
        "mailbox",
        "smtp",
        "filter",
        "security",
        "quarantine",
        "<>",
    ];
    let automatic = fields.first("Auto-Submitted").is_some_and(|it| !it.trim().to_ascii_lowercase().starts_with("no"));
    let listed = fields.has("List-Id") || fields.has("List-Post") || fields.has("List-Unsubscribe");
    !listed && (automatic || NAMES.iter().any(|it| from.contains(it)))
}

/// Replies, forwards, vacation notices and challenges.
fn answers(fields: &Fields<'_>, subject: &str) -> bool {
    const FRONTS: &[&str] = &[
        "fwd:",
        "fw:",
        "aw:",
        "wg:",
        "tr:",
        "rv:",
        "automatic reply",
        "auto reply",
        "auto:",
        "autoreply",
        "auto-reply",
        "out of office",
        "automatische antwort",
        "abwesenheit",
        "réponse automatique",
        "respuesta automática",
        "risposta automatica",
        "automatisch antwoord",
        "vacation",
        "absence",
        "自動応答",
        "автоответ",
        "自动回复",
    ];
    const FIELDS: &[&str] = &["X-Autoreply", "X-Autorespond", "X-Auto-Response-From", "X-Vacation", "X-Autoresponder"];
    // RFC 3834 §5: what is generated has no "Re:", but some notices have.
    FRONTS.iter().any(|it| subject.starts_with(it)) || FIELDS.iter().any(|it| fields.has(it))
}

/// Whether a subject is that of a notice of its own, not of an answer to a message that is called so.
pub fn is_of_notice(subject: &str) -> bool {
    subject_says_failure(subject) && !subject.trim_start().to_lowercase().starts_with("re:")
}

/// As [`says_failure`]; a subject's words are few, and "delayed" among them is the message.
pub fn subject_says_failure(subject: &str) -> bool {
    says_failure(subject) || subject.to_lowercase().contains("delayed")
}

/// Whether a text says that a message wasn't delivered, in one of the languages in which servers say so.
pub fn says_failure(text: &str) -> bool {
    const PHRASES: &[&str] = &[
        "undeliver",
        "not be delivered",
        "n't be delivered",
        "wasn't delivered",
        "not delivered",
        "not been delivered",
        "not be sent",
        "has been blocked",
        "was blocked",
        "delivery fail",
        "delivery has failed",
        "failed delivery",
        "delivery notification",
        "delivery problem",
        "failure notice",
        "returned mail",
        "returned to sender",
        "returning message",
        "delivery status notification",
        "mail delivery",
        "message delivery",
        "unable to deliver",
        "not able to deliver",
        "wasn't able to deliver",
        "error delivering",
        "delivery error",
        "permanent error",
        "permanent fatal error",
        "delivery errors",
        "not reach",
        "user unknown",
        "unknown user",
        "host unknown",
        "been delayed",
        "is delayed",
        "was delayed",
        "is being delayed",
        "delayed for",
        "delayed mail",
        "delayed delivery",
        "message delayed",
        "delivery delay",
        "delivery is delayed",
        "not yet been delivered",
        "mail system error",
        "transcript of session",
        "invalid final delivery",
        "attempting to deliver",
        "rejected by",
        "was rejected",
        "mail failure",
        "mail failed",
        "returning to sender",
        "no valid recipients",
        "전송 실패",
        "전송실패",
        "반송",
        "系统退信",
        "delivery of your",
        "couldn't deliver",
        "could not deliver",
        "cannot be delivered",
        "can't be delivered",
        "invalid user address",
        "are not member",
        "not a member",
        "bounced",
        "mail could not",
        "unzustellbar",
        "nicht zugestellt",
        "zustellung",
        "non remis",
        "pas été remis",
        "échec de la remise",
        "no se pudo entregar",
        "no se ha podido",
        "no se puede entregar",
        "non recapitabil",
        "non è stato recapitato",
        "non è stato consegnato",
        "n'a pas pu être",
        "nicht zustellbar",
        "konnte nicht",
        "kon niet worden",
        "mancato recapito",
        "niet worden bezorgd",
        "onbestelbaar",
        "não foi possível",
        "não entregue",
        "nie można dostarczyć",
        "kunde inte levereras",
        "недоставлен",
        "не доставлен",
        "не может быть доставлено",
        "не удалось доставить",
        "送信できません",
        "配信できません",
        "配信不能",
        "エラー通知",
        "退信",
        "无法投递",
        "无法送达",
        "投递失败",
        "無法傳遞",
    ];
    let lower = text.get(..crate::message::char_boundary(text, 16 * 1024)).unwrap_or_default().to_lowercase().replace('’', "'");
    let joined = lower.split_whitespace().collect::<Vec<_>>().join(" ");
    PHRASES.iter().any(|phrase| joined.contains(phrase))
}

/// A challenge asks the sender to prove something; the message isn't lost. A digest of a quarantine lists what others sent.
pub fn challenges(text: &str) -> bool {
    const PHRASES: &[&str] = &[
        "to confirm that you",
        "please confirm",
        "confirm your message",
        "verify that you",
        "prove that you are human",
        "complete the delivery of your",
        "click the link",
        "click here to",
        "reply to this message to",
        "added to my list of",
        "challenge",
        "quarantine summary",
        "quarantine digest",
        "quarantine report",
        "quarantine notification",
        "spam digest",
        "spam summary",
        "messages in quarantine",
        "messages in your quarantine",
    ];
    let lower = text.get(..crate::message::char_boundary(text, 4096)).unwrap_or_default().to_lowercase();
    PHRASES.iter().any(|phrase| lower.contains(phrase))
}
