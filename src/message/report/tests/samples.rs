//! One report of each form, written for these tests. What each should be read as stands beside it.

/// A report, and what is expected of it: format, Message-ID, then address, status and reply code of each recipient ("-" for none).
pub struct Sample {
    pub name: &'static str,
    pub octets: &'static str,
    pub format: &'static str,
    pub message_id: &'static str,
    pub recipients: &'static [(&'static str, &'static str, &'static str)],
}

/// The one that most others are compared with: RFC 3464 as its authors meant it.
pub const DSN: &str = "Return-Path: <>\r\n\
From: MAILER-DAEMON@relay.x.example (Mail Delivery System)\r\n\
To: ann@x.example\r\n\
Subject: Undelivered Mail Returned to Sender\r\n\
Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"b1/relay\"\r\n\
\r\n\
This is a MIME-encapsulated message.\r\n\
--b1/relay\r\n\
Content-Type: text/plain\r\n\
\r\n\
This is the mail system at host relay.x.example.\r\n\
\r\n\
<bob@y.example>: host mx.y.example[192.0.2.4] said: 550 5.1.1 no such user (in\r\n    reply to RCPT TO command)\r\n\
\r\n\
--b1/relay\r\n\
Content-Type: message/delivery-status\r\n\
\r\n\
Reporting-MTA: dns; relay.x.example\r\n\
Original-Envelope-Id: QQ+2B314159\r\n\
X-Postfix-Queue-ID: 4F1A2B\r\n\
Arrival-Date: Mon, 23 Nov 2026 10:02:11 +0100\r\n\
\r\n\
Final-Recipient: rfc822; bob@y.example\r\n\
Original-Recipient: rfc822;info@y.example\r\n\
Action: failed\r\n\
Status: 5.1.1\r\n\
Remote-MTA: dns; mx.y.example\r\n\
Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n\
Last-Attempt-Date: Mon, 23 Nov 2026 10:02:12 +0100\r\n\
\r\n\
Final-Recipient: rfc822; <eve@y.example>\r\n\
Action: delayed\r\n\
Status: 4.0.0\r\n\
Diagnostic-Code: smtp; 452\r\n 4.2.2 over quota\r\n\
Will-Retry-Until: Tue, 24 Nov 2026 10:02:12 +0100\r\n\
\r\n\
--b1/relay\r\n\
Content-Type: message/rfc822\r\n\
\r\n\
Message-ID: <1.a@x.example>\r\n\
From: Ann <ann@x.example>\r\n\
To: info@y.example\r\n\
Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n\
\r\n\
Hello\r\n\
--b1/relay--\r\n";

pub const ALL: &[Sample] = &[
    Sample {
        name: "postfix",
        octets: DSN,
        format: "postfix",
        message_id: "1.a@x.example",
        recipients: &[("bob@y.example", "5.1.1", "550"), ("eve@y.example", "4.2.2", "452")],
    },
    Sample {
        name: "SMTPUTF8 (RFC 6533), fields in quoted-printable",
        octets: "From: Mail Delivery System <mailer-daemon@x.example>\nContent-Type: multipart/report; report-type=delivery-status; boundary=u\n\n--u\nContent-Type: text/plain; charset=utf-8\n\nNicht zugestellt.\n--u\nContent-Type: message/global-delivery-status\nContent-Transfer-Encoding: quoted-printable\n\nReporting-MTA: dns; x.example\n\nFinal-Recipient: utf-8; j\\x{FC}rgen@y.example\nAction: failed\nStatus: 5.6.7 (no SMTPUTF8)\nDiagnostic-Code: smtp; 553 5.6.7 the other server has n=\no SMTPUTF8\n--u\nContent-Type: message/global-headers\n\nMessage-ID: <2.a@x.example>\nSubject: Grüße\n\n--u--\n",
        format: "rfc3464",
        message_id: "2.a@x.example",
        recipients: &[("jürgen@y.example", "5.6.7", "553")],
    },
    Sample {
        name: "groups without empty lines, types and ends",
        octets: "From: postmaster@x.example\nContent-Type: multipart/report; report-type=delivery-status; boundary=m\n\n--m\nContent-Type: message/delivery-status\n\nReporting-MTA: dns;x.example\nFinal-Recipient: <bob@y.example>\nAction: Failed\nDiagnostic-Code: 550 5.2.1 switched off\nFinal-Recipient: RFC822;eve@y.example\nAction: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp;552 5.2.2 full,\nreally full\n--m\nContent-Type: text/rfc822-headers\n\nMessage-Id: <3.a@x.example>\n\n--m--\n",
        format: "rfc3464",
        message_id: "3.a@x.example",
        recipients: &[("bob@y.example", "5.2.1", "550"), ("eve@y.example", "5.2.2", "552")],
    },
    Sample {
        name: "Exchange Online in German, as text alone",
        octets: "From: <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@x.example>\nTo: ann@x.example\nSubject: Unzustellbar: Rechnung\nAuto-Submitted: auto-replied\nIn-Reply-To: <4.a@x.example>\nContent-Type: text/plain; charset=utf-8\n\nIhre Nachricht an bob@y.example konnte nicht zugestellt werden.\n\nDiagnoseinformationen für Administratoren:\n\nGenerierender Server: AM0PR01.eurprd01.prod.outlook.com\n\nbob@y.example\nRemote Server returned '550 5.4.1 Recipient address rejected: Access denied. AS(201806281)'\n\nUrsprüngliche Nachrichtenkopfzeilen:\n\nFrom: ann@x.example\nTo: bob@y.example\nMessage-ID: <4.a@x.example>\n",
        format: "exchange_online",
        message_id: "4.a@x.example",
        recipients: &[("bob@y.example", "5.4.1", "550")],
    },
    Sample {
        name: "Exchange of old",
        octets: "Return-Path: <>\nFrom: System Administrator <postmaster@y.example>\nTo: ann@x.example\nSubject: Undeliverable: Invoice\nX-Mailer: Internet Mail Service (5.5.2653.19)\n\nYour message\n\n  To:      sales@y.example\n  Subject: Invoice\n  Sent:    Mon, 23 Nov 2026 10:02:11 +0100\n\ndid not reach the following recipient(s):\n\nbob@y.example on Mon, 23 Nov 2026 10:02:12 +0100\n    The recipient name is not recognized\n    MSEXCH:IMS:Y:SITE:SERVER 0 (000C05A6) Unknown Recipient\n",
        format: "exchange",
        message_id: "-",
        recipients: &[("bob@y.example", "-", "-")],
    },
    Sample {
        name: "Exim",
        octets: "Return-path: <>\nX-Failed-Recipients: bob@y.example,\n  eve@z.example\nAuto-Submitted: auto-replied\nFrom: Mail Delivery System <Mailer-Daemon@x.example>\nTo: ann@x.example\nSubject: Mail delivery failed: returning message to sender\n\nThis message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to one or more of its\nrecipients. This is a permanent error. The following address(es) failed:\n\n  bob@y.example\n    host mx.y.example [192.0.2.4]\n    SMTP error from remote mail server after RCPT TO:<bob@y.example>:\n    550 5.1.1 User unknown\n  eve@z.example\n    (generated from list@x.example)\n    Unrouteable address\n\n------ This is a copy of the message, including all the headers. ------\n\nReturn-path: <ann@x.example>\nReceived: from ann by x.example with local (Exim 4.97)\n\tid 1r5abc-000000001aB-0x0y; Mon, 23 Nov 2026 10:02:11 +0100\nTo: bob@y.example, eve@z.example\nSubject: Invoice\nMessage-Id: <E1r5abc@x.example>\nFrom: Ann <ann@x.example>\n\nHello\n",
        format: "exim",
        message_id: "E1r5abc@x.example",
        recipients: &[("bob@y.example", "5.1.1", "550"), ("eve@z.example", "-", "-")],
    },
    Sample {
        name: "Sendmail without a delivery status",
        octets: "Return-Path: <MAILER-DAEMON@x.example>\nFrom: Mail Delivery Subsystem <MAILER-DAEMON@x.example>\nTo: <ann@x.example>\nSubject: Returned mail: see transcript for details\n\nThe original message was received at Mon, 23 Nov 2026 10:02:11 +0100\nfrom client.x.example [192.0.2.7]\n\n   ----- The following addresses had permanent fatal errors -----\n<bob@y.example>\n    (reason: 550 5.1.1 <bob@y.example>... User unknown)\n<eve@z.example>\n\n   ----- Transcript of session follows -----\n... while talking to mx.y.example.:\n>>> RCPT To:<bob@y.example>\n<<< 550 5.1.1 <bob@y.example>... User unknown\n550 5.1.1 <bob@y.example>... User unknown\n550 5.1.2 <eve@z.example>... Host unknown (Name server: z.example: host not found)\n\n   ----- Original message follows -----\nMessage-ID: <5.a@x.example>\nFrom: ann@x.example\nTo: bob@y.example\n\nHello\n",
        format: "sendmail",
        message_id: "5.a@x.example",
        recipients: &[("bob@y.example", "5.1.1", "550"), ("eve@z.example", "5.1.2", "550")],
    },
    Sample {
        name: "qmail",
        octets: "Return-Path: <>\nFrom: MAILER-DAEMON@x.example\nTo: ann@x.example\nSubject: failure notice\n\nHi. This is the qmail-send program at x.example.\nI'm afraid I wasn't able to deliver your message to the following addresses.\nThis is a permanent error; I've given up. Sorry it didn't work out.\n\n<bob@y.example>:\n192.0.2.4 does not like recipient.\nRemote host said: 550 5.7.1 relaying denied\nGiving up on 192.0.2.4.\n\n<eve@z.example>:\nSorry, I couldn't find any host named z.example. (#5.1.2)\n\n--- Below this line is a copy of the message.\n\nReturn-Path: <ann@x.example>\nReceived: (qmail 4711 invoked by uid 1000); 23 Nov 2026 10:02:11 -0000\nDate: 23 Nov 2026 10:02:11 -0000\nMessage-ID: <20261123100211.4711.qmail@x.example>\nFrom: ann@x.example\nTo: bob@y.example\n\nHello\n",
        format: "qmail",
        message_id: "20261123100211.4711.qmail@x.example",
        recipients: &[("bob@y.example", "5.7.1", "550"), ("eve@z.example", "5.1.2", "-")],
    },
    Sample {
        name: "Domino",
        octets: "From: postmaster@x.example\nTo: ann@x.example\nSubject: DELIVERY FAILURE: User bob (bob@y.example) not listed in Domino Directory\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"==IFJRGLKFGIR\"\n\n--==IFJRGLKFGIR\nContent-Type: text/plain\n\nYour message\n\n  Subject: Invoice\n\nwas not delivered to:\n\n  bob@y.example\n\nbecause:\n\n  User bob (bob@y.example) not listed in Domino Directory\n\n--==IFJRGLKFGIR\nContent-Type: message/delivery-status\n\nReporting-MTA: dns;domino.x.example\n\nFinal-Recipient: rfc822;bob@y.example\nAction: failed\nStatus: 5.0.0\nDiagnostic-Code: X-Notes; User bob (bob@y.example) not listed in\n  Domino Directory\n--==IFJRGLKFGIR\nContent-Type: message/rfc822\n\nMessage-ID: <OF1.a@x.example>\nSubject: Invoice\n\nHello\n--==IFJRGLKFGIR--\n",
        format: "domino",
        message_id: "OF1.a@x.example",
        recipients: &[("bob@y.example", "5.0.0", "-")],
    },
    Sample {
        name: "Gmail of old",
        octets: "Return-Path: <>\nFrom: Mail Delivery Subsystem <mailer-daemon@googlemail.com>\nTo: ann@x.example\nX-Failed-Recipients: bob@y.example\nSubject: Delivery Status Notification (Failure)\nContent-Type: text/plain; charset=ISO-8859-1\n\nDelivery to the following recipient failed permanently:\n\n     bob@y.example\n\nTechnical details of permanent failure:\nGoogle tried to deliver your message, but it was rejected by the server for the recipient domain y.example by mx.y.example. [192.0.2.4].\n\nThe error that the other server returned was:\n550 5.1.1 <bob@y.example>... User Unknown\n\n----- Original message -----\n\nMIME-Version: 1.0\nDate: Mon, 23 Nov 2026 10:02:11 +0100\nMessage-ID: <CAB6.a@x.example>\nFrom: Ann <ann@x.example>\nTo: bob@y.example\n\nHello\n",
        format: "gmail",
        message_id: "CAB6.a@x.example",
        recipients: &[("bob@y.example", "5.1.1", "550")],
    },
    Sample {
        name: "SES as a notification",
        octets: "From: AWS <no-reply@sns.amazonaws.com>\nTo: ops@x.example\nSubject: AWS Notification Message\nX-SES-Outgoing: 2026.11.23-192.0.2.9\n\n{\n  \"Type\" : \"Notification\",\n  \"Message\" : \"{\\\"notificationType\\\":\\\"Bounce\\\",\\\"bounce\\\":{\\\"bounceType\\\":\\\"Permanent\\\",\\\"reportingMTA\\\":\\\"dsn; ses.example\\\",\\\"bouncedRecipients\\\":[{\\\"emailAddress\\\":\\\"bob@y.example\\\",\\\"action\\\":\\\"failed\\\",\\\"status\\\":\\\"5.1.1\\\",\\\"diagnosticCode\\\":\\\"smtp; 550 5.1.1 user unknown\\\"}]},\\\"mail\\\":{\\\"timestamp\\\":\\\"2026-11-23T10:02:11Z\\\",\\\"commonHeaders\\\":{\\\"messageId\\\":\\\"<7.a@x.example>\\\",\\\"subject\\\":\\\"Invoice\\\",\\\"from\\\":[\\\"ann@x.example\\\"]}}}\"\n}\n",
        format: "ses",
        message_id: "7.a@x.example",
        recipients: &[("bob@y.example", "5.1.1", "550")],
    },
    Sample {
        name: "WorkMail: fields within the text",
        octets: "Return-Path: <>\nFrom: MAILER-DAEMON@eu-west-1.amazonses.com\nTo: ann@x.example\nSubject: Delivery Status Notification (Failure)\nX-Mailer: Amazon WorkMail\nContent-Type: multipart/mixed; boundary=w\n\n--w\nContent-Type: text/plain\n\nAn error occurred while trying to deliver the mail to the following recipients:\nbob@y.example\n\nTechnical report:\n\nReporting-MTA: dsn; a1.smtp-out.example\n\nAction: failed\nFinal-Recipient: rfc822; bob@y.example\nDiagnostic-Code: smtp; 554 4.4.7 Message expired: unable to deliver in 840 minutes.<421 4.4.2 Connection timed out>\nStatus: 4.4.7\n--w\nContent-Type: message/rfc822\n\nMessage-Id:\n <8.a@x.example>\nTo: bob@y.example\n\nHello\n--w--\n",
        format: "workmail",
        message_id: "8.a@x.example",
        recipients: &[("bob@y.example", "4.4.2", "421")],
    },
    Sample {
        name: "Yahoo",
        octets: "From: MAILER-DAEMON@yahoo.com\nTo: ann@x.example\nSubject: Failure Notice\n\nSorry, we were unable to deliver your message to the following address.\n\n<bob@y.example>:\nRemote host said:\n552 5.2.2 Mailbox full\n[RCPT_TO]\n\n--- Below this line is a copy of the message.\n\nReceived: from [127.0.0.1] by nm1.example with NNFMP; 23 Nov 2026 10:02:11 -0000\nX-YMail-OSG: abc\ndef without its fold\nMessage-ID: <9.a@x.example>\nFrom: Ann <ann@x.example>\n\nHello\n",
        format: "yahoo",
        message_id: "9.a@x.example",
        recipients: &[("bob@y.example", "5.2.2", "552")],
    },
    Sample {
        name: "Courier",
        octets: "From: \"Courier mail server at x.example\" <@>\nReturn-Path: <>\nTo: ann@x.example\nSubject: NOTICE: mail delivery status.\n\nThis is a delivery status notification from x.example,\nrunning the Courier mail server, version 1.2.2.\n\nThe original message was received on Mon, 23 Nov 2026 10:02:11 +0100\nfrom client.x.example (client.x.example [192.0.2.7])\n\n---------------------------------------------------------------------------\n\n                           UNDELIVERABLE MAIL\n\nYour message to the following recipients cannot be delivered:\n\n<bob@y.example>:\n    mx.y.example [192.0.2.4]:\n>>> RCPT TO:<bob@y.example>\n<<< 550 5.1.1 <bob@y.example>... User Unknown\n\n---------------------------------------------------------------------------\n",
        format: "courier",
        message_id: "-",
        recipients: &[("bob@y.example", "5.1.1", "550")],
    },
    Sample {
        name: "James",
        octets: "Return-Path: <>\nFrom: postmaster@x.example\nTo: ann@x.example\nSubject: Re: Invoice\nContent-Type: multipart/mixed; boundary=j\n\n--j\nContent-Type: text/plain\n\nHi. This is the James mail server at x.example.\nI'm afraid I wasn't able to deliver your message to the following addresses.\nThis is a permanent error; I've given up. Sorry it didn't work out. Below\nI include the list of recipients and the reason why I was unable to deliver\nyour message.\n\nFailed recipient(s):\nbob@y.example\n\nError message:\n550 5.7.1 <bob@y.example>... Relaying denied\n\n--j\nContent-Type: message/rfc822\n\nMessage-ID: <10.JavaMail.a@x.example>\nTo: bob@y.example\n\nHello\n--j--\n",
        format: "james",
        message_id: "10.JavaMail.a@x.example",
        recipients: &[("bob@y.example", "5.7.1", "550")],
    },
    Sample {
        name: "hMailServer",
        octets: "Return-Path: <>\nFrom: mailer-daemon@x.example\nTo: ann@x.example\nSubject: Message undeliverable: Invoice\n\nYour message did not reach some or all of the intended recipients.\n\n   Sent: Mon, 23 Nov 2026 10:02:11 +0100\n   Subject: Invoice\n\nThe following recipient(s) could not be reached:\n\nbob@y.example\n   Error Type: SMTP\n   Remote server (192.0.2.4) issued an error.\n   hMailServer sent: RCPT TO:<bob@y.example>\n   Remote server replied: 550 5.1.1 User unknown\n\n\nhMailServer\n",
        format: "hmailserver",
        message_id: "-",
        recipients: &[("bob@y.example", "5.1.1", "550")],
    },
    Sample {
        name: "OpenSMTPD",
        octets: "Return-Path: <>\nFrom: Mailer Daemon <MAILER-DAEMON@x.example>\nTo: ann@x.example\nSubject: Delivery status notification: error\n\n    Hi!\n\n    This is the MAILER-DAEMON, please DO NOT REPLY to this e-mail.\n\n    An error has occurred while attempting to deliver a message for\n    the following list of recipients:\n\nbob@y.example: 550 5.2.2 Mailbox Full\neve@y.example: Envelope expired\n\n    Below is a copy of the original message:\n\nReceived: from [127.0.0.1] (localhost [127.0.0.1]);\n\tby localhost (OpenSMTPD) with ESMTP id 966254b0;\nSubject: Invoice\nMessage-ID: <11.a@x.example>\n\nHello\n",
        format: "opensmtpd",
        message_id: "11.a@x.example",
        recipients: &[("bob@y.example", "5.2.2", "550"), ("eve@y.example", "-", "-")],
    },
    Sample {
        name: "DragonFly, a reply of several lines",
        octets: "From: MAILER-DAEMON <>\nTo: ann@x.example\nSubject: Mail delivery failed\n\nThis is the DragonFly Mail Agent v0.13 at x.example.\n\nThere was an error delivering your mail to <bob@y.example>.\n\nmx.y.example [192.0.2.4] did not like our final DATA:\n550-5.7.26 not authenticated,\n550-5.7.26 see the\n550 5.7.26 pages\n\nMessage headers follow.\n\nReceived: from ann (uid 0)\n\tby x.example (DragonFly Mail Agent v0.13);\nMessage-Id: <12.a@x.example>\nFrom: <ann@x.example>\n",
        format: "dragonfly",
        message_id: "12.a@x.example",
        recipients: &[("bob@y.example", "5.7.26", "550")],
    },
    Sample {
        name: "Zoho",
        octets: "From: mailer-daemon@mail.zoho.com\nTo: ann@x.example\nSubject: Undelivered Mail Returned to Sender\nX-Mailer: Zoho Mail\n\nThis message was created automatically by mail delivery software.\n A message that you sent could not be delivered to one or more of its recipients. This is a permanent error. \n\nbob@y.example Invalid Address, ERROR_CODE :550, ERROR_CODE :5.1.1 <bob@y.example>... User Unknown\n\nReceived:from mail.zoho.com by mx.zohomail.com\n\twith SMTP id 1; Mon, 23 Nov 2026 02:46:23 -0800\nMessage-ID:<13.a@x.example>\nDate:Mon, 23 Nov 2026 10:46:23 +0000\nFrom:Ann <ann@x.example>\n\n",
        format: "zoho",
        message_id: "13.a@x.example",
        recipients: &[("bob@y.example", "5.1.1", "550")],
    },
    Sample {
        name: "the dialogue of a Postfix server with its client",
        octets: "Return-Path: <double-bounce@x.example>\nFrom: MAILER-DAEMON@x.example (Mail Delivery System)\nTo: postmaster@x.example (Postmaster)\nSubject: Postfix SMTP server: errors from client.x.example[192.0.2.7]\n\nTranscript of session follows.\n\n Out: 220 x.example ESMTP Postfix\n In:  MAIL FROM:<ann@z.example> SIZE=2000\n Out: 250 2.1.0 Ok\n In:  RCPT TO:<bob@x.example>\n Out: 250 2.1.5 Ok\n In:  DATA\n Out: 354 End data with <CR><LF>.<CR><LF>\n Out: 451 4.3.0 Error: queue file write error\n In:  QUIT\n Out: 221 2.0.0 Bye\n\n",
        format: "text",
        message_id: "-",
        recipients: &[("bob@x.example", "4.3.0", "451")],
    },
    Sample {
        name: "a complaint (RFC 5965)",
        octets: "From: <abuse@feedback.example>\nTo: <fbl@x.example>\nSubject: FW: Earn money\nContent-Type: multipart/report; report-type=feedback-report;\n\tboundary=\"part1\"\n\n--part1\nContent-Type: text/plain\n\nThis is an email abuse report for an email message received from IP 192.0.2.1.\n\n--part1\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nUser-Agent: SomeGenerator/1.0\nVersion: 1\nOriginal-Mail-From: <ann@x.example>\nOriginal-Rcpt-To: <bob@y.example>\nArrival-Date: Mon, 23 Nov 2026 10:02:11 +0100\nReporting-MTA: dns; mail.y.example\nSource-IP: 192.0.2.1\n\n--part1\nContent-Type: message/rfc822\n\nFrom: <ann@x.example>\nTo: <bob@y.example>\nMessage-ID: <14.a@x.example>\nSubject: Earn money\n\nSpam\n--part1--\n",
        format: "arf",
        message_id: "14.a@x.example",
        recipients: &[("bob@y.example", "-", "-")],
    },
    Sample {
        name: "a bounce that calls itself an answer",
        octets: "Return-Path: <>\nFrom: Zustelldienst <zustellung@y.example>\nTo: ann@x.example\nSubject: Undeliverable: Invoice\nAuto-Submitted: auto-replied\n\nYour message could not be delivered to the following recipients:\n\n<bob@y.example>: 550 5.1.1 User unknown\n",
        format: "text",
        message_id: "-",
        recipients: &[("bob@y.example", "5.1.1", "550")],
    },
    Sample {
        name: "a full mailbox that tells it itself",
        octets: "Return-Path: <>\nFrom: bob@y.example\nTo: ann@x.example\nSubject: Mail delivery failed: mailbox full\n\nYour message could not be delivered to the following recipient:\n\nbob@y.example\n\nThe mailbox is full.\n",
        format: "text",
        message_id: "-",
        recipients: &[("bob@y.example", "-", "-")],
    },
    Sample {
        name: "a delay that only a daemon's name makes one",
        octets: "Return-Path: <>\nFrom: MAILER-DAEMON@y.example\nTo: ann@x.example\nSubject: Warning: Invoice\n\nYour message to the following recipients has been temporarily delayed:\n\n<bob@y.example>\n",
        format: "text",
        message_id: "-",
        recipients: &[("bob@y.example", "-", "-")],
    },
];

/// Messages that are no reports, however much they look so.
pub const NOT: &[(&str, &str)] = &[
    (
        "a vacation notice",
        "Return-Path: <>\nFrom: Bob <bob@y.example>\nTo: ann@x.example\nSubject: Automatic reply: Invoice\nAuto-Submitted: auto-replied\n\nI am away until 30 November. Mail is not delivered to me; in urgent cases write to eve@y.example.\n",
    ),
    (
        "a vacation notice from a null sender without a word of it in the subject",
        "Return-Path: <>\nFrom: Bob <bob@y.example>\nTo: ann@x.example\nSubject: Re: Invoice\n\nI am on holiday.\neve@y.example\n",
    ),
    (
        "a vacation notice that only a field tells, with a signature",
        "Return-Path: <>\nFrom: Bob <bob@y.example>\nTo: ann@x.example\nSubject: Ich bin im Urlaub\nAuto-Submitted: auto-replied\nIn-Reply-To: <orig@x.example>\n\nI am away until Monday; my answer may be delayed.\n\n--\nBob\nbob@y.example\n",
    ),
    (
        "a vacation notice that says of mail that it isn't delivered",
        "Return-Path: <>\nFrom: Bob <bob@y.example>\nTo: ann@x.example\nSubject: Ich bin im Urlaub\nAuto-Submitted: auto-replied (vacation)\n\nUntil Monday, mail is not delivered to me. Ask\neve@y.example\n",
    ),
    (
        "a vacation notice on a message that is called like a failure",
        "Return-Path: <>\nFrom: Bob <bob@y.example>\nTo: ann@x.example\nSubject: Re: Your order is delayed\nAuto-Submitted: auto-replied\nIn-Reply-To: <orig@x.example>\n\nI am away.\n--\nBob\nbob@y.example\n",
    ),
    (
        "a vacation notice without any field, with a deputy",
        "Return-Path: <>\nFrom: Bob <bob@y.example>\nTo: ann@x.example\nSubject: Ich bin im Urlaub\n\nI am away until Monday; my answer may be delayed. My deputy:\neve@y.example\n",
    ),
    (
        "a vacation notice without any field, signed",
        "Return-Path: <>\nFrom: Bob <bob@y.example>\nTo: ann@x.example\nSubject: Ich bin im Urlaub\n\nUntil Monday, mail is not delivered to me.\n\nbob@y.example\n",
    ),
    (
        "a challenge",
        "Return-Path: <>\nFrom: Bob <bob@y.example>\nTo: ann@x.example\nSubject: Your message\n\nYour message has not been delivered to:\nbob@y.example\nTo complete the delivery of your message, click the link below.\n",
    ),
    (
        "a person who asks about a bounce",
        "From: Ann <ann@x.example>\nTo: admin@x.example\nSubject: Re: Undeliverable: Invoice\n\nWhat is this?\n\n> <bob@y.example>: host mx said: 550 5.1.1 User unknown\n",
    ),
    (
        "a person who forwards one",
        "From: Ann <ann@x.example>\nTo: admin@x.example\nSubject: Fwd: Returned mail\n\n<bob@y.example>: 550 5.1.1 User unknown\n",
    ),
    (
        "a read receipt (RFC 8098)",
        "From: Bob <bob@y.example>\nTo: ann@x.example\nSubject: Read: Invoice\nContent-Type: multipart/report; report-type=disposition-notification; boundary=r\n\n--r\nContent-Type: message/disposition-notification\n\nFinal-Recipient: rfc822;bob@y.example\nDisposition: manual-action/MDN-sent-manually; displayed\n\n--r--\n",
    ),
    ("ordinary mail", "From: Ann <ann@x.example>\nTo: bob@y.example\nSubject: Invoice\nMessage-ID: <1@x.example>\n\nHello\n"),
    (
        "mail about a parcel",
        "From: Shop <orders@shop.example>\nTo: ann@x.example\nSubject: Delivery of your order is delayed\n\nYour parcel 550 could not be delivered to ann@x.example today.\n",
    ),
    (
        "a report about TLS (RFC 8460)",
        "From: tlsrpt@y.example\nTo: tls@x.example\nSubject: Report Domain: x.example\nContent-Type: multipart/report; report-type=tlsrpt; boundary=r\n\n--r\nContent-Type: text/plain\n\nDelivery failed for bob@y.example\n--r\nContent-Type: application/tlsrpt+gzip\n\nH4sI\n--r--\n",
    ),
    (
        "a read receipt that doesn't say its type",
        "Return-Path: <>\nFrom: Bob <bob@y.example>\nTo: ann@x.example\nSubject: Not read: Invoice\nContent-Type: multipart/report; boundary=r\n\n--r\nContent-Type: text/plain\n\nYour message was not delivered to the eyes of\nbob@y.example\n--r\nContent-Type: message/disposition-notification\n\nFinal-Recipient: rfc822;bob@y.example\nDisposition: automatic-action/MDN-sent-automatically; deleted\n\n--r--\n",
    ),
    (
        "the digest of a quarantine",
        "Return-Path: <postmaster@x.example>\nFrom: postmaster@x.example\nTo: ann@x.example\nSubject: Your mail\n\nYou have 2 messages in quarantine:\n\njoe@z.example\n  Undelivered Mail Returned to Sender\neve@z.example\n  Cheap watches\n",
    ),
    (
        "somebody who has left",
        "Return-Path: <>\nFrom: Bob <bob@y.example>\nTo: ann@x.example\nSubject: Re: Invoice\nAuto-Submitted: auto-replied\n\nI no longer work here. Please contact\neve@y.example\n",
    ),
    (
        "a multipart/report without a report",
        "From: Bob <bob@y.example>\nTo: ann@x.example\nSubject: Hello\nContent-Type: multipart/report; boundary=r\n\n--r\nContent-Type: text/plain\n\nHello\n--r--\n",
    ),
    ("nothing", ""),
    ("no header", "\n\n<bob@y.example>: 550 5.1.1 no\n"),
];
