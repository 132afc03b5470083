//! What the answers to attempts at relaying are worth.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::*;
use crate::doctor::Verdict;
use crate::doctor::door::Introduction;
use crate::net::tls::ClientTls;
use crate::relay::options::UpstreamTls;

#[test]
fn it_is_no_relay_only_where_each_proof_was_refused_for_good() {
    let reply = |code| Outcome::Answered(Reply { code, enhanced: None, lines: Vec::new() });
    let broken = || Outcome::Broken(Trouble { stage: Stage::RcptTo, words: "closed the connection".to_owned(), reply: None });
    let judged = |outcomes: [Outcome; 3]| {
        let tried: Vec<_> = attempts(None).into_iter().zip(outcomes).collect();
        let check = nothing_taken(Check::asking("behind.open_relay", "", ""), &tried, "", false);
        (check.verdict, check.answer)
    };
    let of = |codes: [u16; 3]| judged(codes.map(reply));
    assert_eq!(of([554, 554, 550]), (Verdict::Ok, "all refused (3 of 3): 554".to_owned()));
    assert!(of([530, 530, 530]).1.contains("It wants TLS or a login first"));
    for codes in [[451, 451, 451], [450, 530, 451], [451, 451, 550], [554, 451, 550], [421, 554, 554]] {
        let (verdict, answer) = of(codes);
        assert!(verdict == Verdict::Skipped && answer.contains("Ask again later"), "{codes:?}: {answer}");
    }
    let (verdict, answer) = judged([reply(554), broken(), reply(554)]);
    let told = "2 of 3 refused: 554. Not decided: from the null sender to a stranger (it closed the connection)";
    assert!(verdict == Verdict::Skipped && answer.starts_with(told), "{answer}");
    let (verdict, answer) = judged([broken(), broken(), Outcome::NotMade]);
    assert!(verdict == Verdict::Skipped && answer.starts_with("0 of 3 refused. Not decided: "), "{answer}");
    assert!(answer.contains("by a name without domain (not tried any more)"), "{answer}");
    // Of a sender whose domain isn't found, a refusal for good is never had.
    let (verdict, answer) = of([450, 554, 450]);
    assert!(verdict == Verdict::Ok && answer.contains("from a stranger to a stranger (put off: 450)"), "{answer}");
    let (verdict, answer) = of([554, 530, 554]);
    assert!(verdict == Verdict::Skipped && answer.ends_with("(it wants TLS or a login first: 530)"), "{answer}");
    // What proves nothing may stay open.
    let (verdict, answer) = judged([reply(554), reply(554), broken()]);
    assert!(verdict == Verdict::Ok && answer.contains("Not decided: by a name without domain"), "{answer}");
}

/// A server that takes each command but RCPT TO, to which it says this by the number of it in its session; and whether it goes on.
async fn examined(introduction: Introduction, answer: fn(usize) -> Option<(&'static str, bool)>) -> Check {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (reader, mut writer) = stream.split();
                let (mut lines, mut asked) = (BufReader::new(reader).lines(), 0);
                let _ = writer.write_all(b"220 mx.example\r\n").await;
                while let Ok(Some(line)) = lines.next_line().await {
                    if !line.starts_with("RCPT") {
                        let words = match line.split(' ').next() {
                            Some("EHLO") => "250-mx.example\r\n250 XCLIENT NAME ADDR",
                            Some("XCLIENT") => "220 mx.example",
                            _ => "250 ok",
                        };
                        let _ = writer.write_all(format!("{words}\r\n").as_bytes()).await;
                        continue;
                    }
                    asked += 1;
                    let Some((words, goes_on)) = answer(asked) else { return };
                    let _ = writer.write_all(format!("{words}\r\n").as_bytes()).await;
                    if !goes_on {
                        return;
                    }
                }
            });
        }
    };
    let door = Door {
        address,
        host: "127.0.0.1".to_owned(),
        host_name: "relay.example".to_owned(),
        lmtp: false,
        mark: None,
        introduction,
        tls: UpstreamTls::Off,
        client_tls: ClientTls::new(None).unwrap(),
        patience: Duration::from_secs(20),
    };
    let behind = Behind {
        way: Way::Direct,
        door,
        place: address.to_string(),
        local_domain: Some("to.example"),
        guarded: false,
        knows_its_clients: false,
        decided_directly: false,
        tell_client: false,
    };
    tokio::select! {
        section = behind.examine() => section.checks.into_iter().find(|it| it.name == "behind.open_relay").unwrap(),
        () = serve => unreachable!("it never ends"),
    }
}

#[tokio::test]
async fn an_attempt_that_broke_is_made_again_and_never_counts_as_refused() {
    // The session ends behind each answer, be it with or without a farewell.
    let check = examined(Introduction::Silent, |_| Some(("554 no", false))).await;
    assert_eq!((check.verdict, check.answer.as_str()), (Verdict::Ok, "all refused (8 of 8): 554 no"));
    let check =
        examined(Introduction::Silent, |asked| if asked < 3 { Some(("554 no", true)) } else { Some(("421 too many errors", false)) }).await;
    assert_eq!((check.verdict, check.answer.as_str()), (Verdict::Ok, "all refused (8 of 8): 554 no"));
    let check = examined(Introduction::Silent, |asked| (asked == 1).then_some(("554 no", true))).await;
    assert_eq!((check.verdict, check.answer.as_str()), (Verdict::Ok, "all refused (8 of 8): 554 no"));
    // It accepts, and is gone.
    let check = examined(Introduction::Silent, |_| Some(("250 ok", false))).await;
    assert!(check.verdict == Verdict::Fail && check.answer.contains("from a stranger to a stranger"), "{check:?}");
    // Nothing is ever answered.
    let check = examined(Introduction::Silent, |_| None).await;
    assert_eq!(check.verdict, Verdict::Skipped);
    assert!(check.answer.starts_with("0 of 8 refused. Not decided: from a stranger to a stranger (it closed"), "{check:?}");
    let check = examined(Introduction::Silent, |_| Some(("421 later", false))).await;
    assert!(check.verdict == Verdict::Skipped && check.answer.contains("(put off: 421 later)"), "{check:?}");
}
#[tokio::test]
async fn refusals_of_relaying_alone_count_and_of_all_mail_prove_nothing() {
    // A login is wanted of who would relay.
    let check = examined(Introduction::Silent, |asked| Some((if asked == 1 { "250 ok" } else { "530 log in" }, true))).await;
    assert_eq!((check.verdict, check.answer.as_str()), (Verdict::Ok, "all refused (8 of 8): 530 log in"));
    let stranger = Introduction::Xclient([203, 0, 113, 1].into());
    let check = examined(stranger, |asked| Some((if asked == 1 { "250 ok" } else { "554 no" }, true))).await;
    assert_eq!((check.verdict, check.answer.as_str()), (Verdict::Ok, "all refused (8 of 8): 554 no"));
    let check = examined(stranger, |_| Some(("550 no name", true))).await;
    assert!(check.verdict == Verdict::Skipped && check.answer.ends_with("from 203.0.113.1 either: 550 no name"), "{check:?}");
}
