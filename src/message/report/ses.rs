//! Amazon SES notifications: JSON that its notification service sends as the text of a mail.

use serde_json::Value;

use super::{Action, MOST_RECIPIENTS, Reported, address, bounded, reply};

/// What a notification says.
#[derive(Debug)]
pub struct Notification {
    pub complaint: bool,
    pub message_id: Option<String>,
    pub subject: Option<String>,
    pub from: Option<String>,
    pub reporting_mta: Option<String>,
    pub arrival: Option<String>,
    pub recipients: Vec<Reported>,
    pub recipients_cut: u32,
}

/// Reads a notification; `None` if the text is none.
pub fn read(text: &str) -> Option<Notification> {
    let text = text.trim_start();
    if !text.starts_with('{') {
        return None;
    }
    // Lines are folded as they come; JSON has no line ends within its strings.
    let joined = text.replace("\r\n", "\n").replace('\n', "");
    let mut outer = serde_json::Deserializer::from_str(&joined).into_iter::<Value>();
    let outer = outer.next()?.ok()?;
    let inner = outer.get("Message").and_then(Value::as_str).and_then(|it| serde_json::from_str::<Value>(it).ok());
    let notification = inner.unwrap_or(outer);
    let kind = notification.get("notificationType").or(notification.get("eventType"))?.as_str()?;
    let (told, list, complaint) = match kind {
        "Bounce" => ("bounce", "bouncedRecipients", false),
        "Complaint" => ("complaint", "complainedRecipients", true),
        "Delivery" => ("delivery", "recipients", false),
        _ => return None,
    };
    let told = notification.get(told)?;
    let mail = notification.get("mail");
    let common = mail.and_then(|mail| mail.get("commonHeaders"));
    let text_of = |value: Option<&Value>, name: &str| value.and_then(|it| it.get(name)).and_then(Value::as_str).and_then(bounded);
    let all = told.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let recipients: Vec<Reported> = all.iter().take(MOST_RECIPIENTS).filter_map(|it| recipient(it, kind)).collect();
    Some(Notification {
        complaint,
        message_id: text_of(common, "messageId").or_else(|| header(mail, "Message-ID")).map(|it| it.trim_matches(['<', '>']).to_owned()),
        subject: text_of(common, "subject"),
        from: common.and_then(|it| it.get("from")).and_then(|it| it.get(0)).and_then(Value::as_str).and_then(bounded),
        reporting_mta: text_of(Some(told), "reportingMTA").and_then(|it| super::delivery::host(&it)),
        arrival: text_of(mail, "timestamp"),
        recipients,
        recipients_cut: u32::try_from(all.len().saturating_sub(MOST_RECIPIENTS)).unwrap_or(u32::MAX),
    })
}

fn header(mail: Option<&Value>, name: &str) -> Option<String> {
    let headers = mail?.get("headers")?.as_array()?;
    let found = headers.iter().find(|it| it.get("name").and_then(Value::as_str).is_some_and(|it| it.eq_ignore_ascii_case(name)))?;
    found.get("value")?.as_str().and_then(bounded)
}

fn recipient(value: &Value, kind: &str) -> Option<Reported> {
    let of = |name: &str| value.get(name).and_then(Value::as_str);
    let written = value.as_str().or(of("emailAddress"))?;
    let address = address::in_line(written).next()?.address;
    let diagnostic = of("diagnosticCode").map(|it| it.strip_prefix("smtp;").unwrap_or(it).trim());
    let codes = diagnostic.map(reply::codes).unwrap_or_default();
    let action = match kind {
        "Bounce" => of("action").and_then(Action::from_word).unwrap_or(Action::Failed),
        _ => Action::Delivered,
    };
    Some(Reported {
        action,
        status: reply::better(of("status").and_then(reply::leading), codes),
        reply_code: codes.reply,
        text: diagnostic.and_then(bounded),
        ..Reported::of(address)
    })
}
