//! The login with the configured secret. The secret is never shown; whatever repeats it is taken out.

use std::time::Instant;

use super::super::Check;
use super::super::dialogue::{Dialogue, Trouble, in_words};
use super::visit::Visit;
use crate::relay::login::{secret_of, without_secrets};
use crate::relay::options::{AuthMechanism, UpstreamAuth};
use crate::smtp::{Extensions, Stage};
use crate::trace::Reply;

/// Challenges of one exchange.
const MOST_CHALLENGES: u8 = 4;

/// Logs in as sessions do, by the same rules. True: the login itself was refused for good.
pub(super) async fn log_in(visit: &Visit<'_>, auth: &UpstreamAuth, dialogue: &mut Dialogue, offered: &Extensions) -> (Check, bool) {
    let why = "without it the smart host takes no mail of this proxy";
    let check = visit.asking("login", format!("login as {} at {}", auth.user, visit.place), why);
    let verified = dialogue.tls.as_ref().is_some_and(|tls| tls.verified == Some(true));
    if !verified && !visit.allow_plaintext_auth {
        let reason = if dialogue.tls.is_some() { "its certificate isn't verified" } else { "there is no TLS" };
        let answer = format!("not tried: {reason}, so the password is not sent");
        let fix = "Put the TLS checks above right first; in sessions the login fails for the same reason.";
        return (check.fail(answer, fix), false);
    }
    let Some(mechanism) = auth.choose(&offered.auth) else {
        let listed = if offered.auth.is_empty() { "no AUTH at all".to_owned() } else { offered.auth.join(", ") };
        let fix = match (auth.mechanism, offered.auth.is_empty(), dialogue.tls.is_some()) {
            (_, true, false) => "Servers offer AUTH within TLS only, as a rule: write `tls = \"required\"`.".to_owned(),
            (_, true, true) => {
                "This port takes no logins: submission is on 587 or 465. Or it trusts this machine by its address: then remove [upstream.auth]."
                    .to_owned()
            }
            (Some(wanted), false, _) => {
                format!("Remove `mechanism = \"{}\"` from [upstream.auth], or write one of those offered.", wanted.name())
            }
            (None, false, _) => {
                "Relayscope logs in with CRAM-MD5, PLAIN, LOGIN or XOAUTH2. If XOAUTH2 is offered, write `mechanism = \"XOAUTH2\"` and give the \
                 access token as the password."
                    .to_owned()
            }
        };
        return (check.fail(format!("no mechanism in common: it offers {listed}"), fix), false);
    };
    let began = Instant::now();
    let (reply, secrets) = match exchange(auth, mechanism, dialogue).await {
        Ok(done) => done,
        Err(trouble) => return (visit.failed(check, &trouble, began), false),
    };
    let secrets: Vec<&[u8]> = secrets.iter().map(Vec::as_slice).chain([auth.secret.reveal().as_bytes()]).collect();
    // What it means is read off the whole reply; what is shown is what doesn't repeat the secret.
    let shown = without_secrets(reply, &secrets);
    let check = check.took(began.elapsed());
    let answer = format!("{} ({})", in_words(&shown), mechanism.name());
    let check = if shown.code == 235 { check.ok(answer) } else { check.fail(answer, visit.diagnosis(Stage::Auth, &shown)) };
    (check, shown.code / 100 == 5)
}

/// The final reply, and what was sent that must not be shown.
async fn exchange(auth: &UpstreamAuth, mechanism: AuthMechanism, dialogue: &mut Dialogue) -> Result<(Reply, Vec<Vec<u8>>), Trouble> {
    let mut secrets: Vec<Vec<u8>> = Vec::new();
    let begin = auth.begin(mechanism);
    secrets.extend(secret_of(&begin).map(<[u8]>::to_vec));
    dialogue.send(Stage::Auth, begin.as_bytes()).await?;
    let mut reply = dialogue.reply(Stage::Auth).await?;
    for responses in 0..MOST_CHALLENGES {
        if reply.code != 334 {
            break;
        }
        let challenge = reply.lines.first().cloned().unwrap_or_default();
        let answer = auth.answer(mechanism, responses, challenge.as_bytes()).unwrap_or_else(|| "*".to_owned());
        let line = format!("{answer}\r\n");
        secrets.extend(secret_of(&line).map(<[u8]>::to_vec));
        dialogue.send(Stage::Auth, line.as_bytes()).await?;
        reply = dialogue.reply(Stage::Auth).await?;
    }
    Ok((reply, secrets))
}
