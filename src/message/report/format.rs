//! Whose form a report has, told by the words and fields that only its software writes.

use super::fields::Fields;

/// In the text of the notice, in lower case.
const WORDS: &[(&str, &str)] = &[
    ("this is the qmail-send program", "qmail"),
    ("this is the mail system at host", "postfix"),
    ("dragonfly mail agent", "dragonfly"),
    ("this is the mailer-daemon, please do not reply", "opensmtpd"),
    ("a message that you sent could not be delivered to one or more of its", "exim"),
    ("this message was created automatically by mail delivery software", "exim"),
    ("----- transcript of session follows -----", "sendmail"),
    ("the following addresses had permanent fatal errors", "sendmail"),
    ("this is the courier mail server", "courier"),
    ("this is a delivery status notification from courier", "courier"),
    ("hmailserver", "hmailserver"),
    ("your message did not reach some or all of the intended recipients", "exchange"),
    ("did not reach the following recipient", "exchange"),
    ("msexch:ims:", "exchange"),
    ("the apache mailserver", "james"),
    ("hi. this is the james mail server", "james"),
    ("lotus smtp mta", "domino"),
    ("failure reasons", "domino"),
    ("interscan messaging security suite", "interscan"),
    ("sorry, we were unable to deliver your message to the following address", "yahoo"),
    ("mailfoundry", "mailfoundry"),
    ("google groups", "gmail"),
    ("the mdaemon", "mdaemon"),
    ("mailmarshal", "mailmarshal"),
    ("m-filter", "mfilter"),
    ("kerio connect", "kerio"),
    ("zimbra", "zimbra"),
];

/// In the name of a field, in its value, in lower case.
const FIELDS: &[(&str, &str, &str)] = &[
    ("X-MS-Exchange-Organization-SCL", "", "exchange_online"),
    ("X-MS-Exchange-Message-Is-Ndr", "", "exchange_online"),
    ("X-Mailer", "internet mail service", "exchange"),
    ("X-Mailer", "amazon workmail", "workmail"),
    ("X-Mailer", "zoho mail", "zoho"),
    ("X-Mailer", "imail", "imail"),
    ("X-Mailer", "smtp32", "imail"),
    ("X-Mailer", "mdaemon", "mdaemon"),
    ("X-Mailer", "m-filter", "mfilter"),
    ("X-Mailer", "yandex", "yandex"),
    ("X-SES-Outgoing", "", "ses"),
    ("X-ZohoMail", "", "zoho"),
    ("X-PowerMTA-BounceType", "", "powermta"),
    ("X-Mlserver", "", "fml"),
    ("X-Kerio-Anti-Spam", "", "kerio"),
    ("X-Notes-Item", "", "domino"),
    ("X-Failed-Recipients", "", "exim"),
    ("From", "@googlemail.com", "gmail"),
    ("From", "@mail.ru", "mailru"),
    ("From", "@corp.mail.ru", "mailru"),
    ("From", "@yahoo.com", "yahoo"),
    ("From", "@aol.com", "aol"),
    ("From", "@amazonses.com", "ses"),
    ("From", "@email-bounces.amazonses.com", "ses"),
    ("From", "@kundenserver.de", "gmx"),
    ("From", "@mail.gmx.com", "gmx"),
    ("From", "@gmx.net", "gmx"),
    ("From", "@ezweb.ne.jp", "ezweb"),
    ("From", "mxlogic.net", "mxlogic"),
    ("From", "pmdf e-mail", "messaging_server"),
    ("From", "mail.zoho.com", "zoho"),
    ("From", "yandex.ru", "yandex"),
    ("From", "active!hunter", "activehunter"),
];

/// The form of a report; `delivery` is whether it holds fields of a delivery status.
pub fn of(fields: &Fields<'_>, said: &str, diagnostics: &str, delivery: bool) -> &'static str {
    let said = said.get(..crate::message::char_boundary(said, 16 * 1024)).unwrap_or_default().to_lowercase();
    let field = |name: &str, word: &str| fields.all(name).any(|value| word.is_empty() || value.to_lowercase().contains(word));
    // A Microsoft server outside the cloud writes the same sentences; what it lacks are the cloud's host names.
    if field("From", "microsoftexchange")
        || said.contains("diagnostic information for administrators")
        || said.contains("remote server returned '")
    {
        let cloud = said.contains("outlook.com") || diagnostics.to_lowercase().contains("outlook.com") || field("Received", "outlook.com");
        return if cloud { "exchange_online" } else { "exchange" };
    }
    let strong = FIELDS.iter().find(|(name, word, format)| *format != "exim" && field(name, word)).map(|(.., format)| *format);
    let words = WORDS.iter().find(|(word, _)| said.contains(word)).map(|(_, format)| *format);
    strong.or(words).or_else(|| field("X-Failed-Recipients", "").then_some("exim")).unwrap_or(if delivery { "rfc3464" } else { "text" })
}
