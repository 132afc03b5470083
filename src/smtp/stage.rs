//! The stages of a mail transaction, and of the session around it.

use crate::vocabulary::vocabulary;

vocabulary! {
    /// Where in the dialogue something was decided.
    Stage {
        Connect = "connect",
        Banner = "banner",
        Ehlo = "ehlo",
        StartTls = "starttls",
        Auth = "auth",
        MailFrom = "mail_from",
        RcptTo = "rcpt_to",
        Data = "data",
        Body = "body",
        EndOfData = "end_of_data",
        Quit = "quit",
        AfterAcceptance = "after_acceptance",
    }
}
