//! Asks DNS for what the watch wants to know: a few questions a second, and never on the watch's own thread.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use crate::anomaly::dns_watch::{Asked, DnsType, DnsWatch, Published, Question};
use crate::net::resolve::{Kind, Resolver, reverse_name};
use crate::trace::WallMicros;

/// Questions under way or waiting.
const WAITING: usize = 20;
/// Questions that wait for DNS at the same time: names whose servers are dead hold up only each other.
const AT_ONCE: usize = 4;
/// Between two questions: a mail server's resolver has better things to do.
const PAUSE: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_secs(10);

/// The way to DNS.
pub(super) struct Asker {
    questions: mpsc::Sender<Question>,
    answers: Receiver<(Question, Published)>,
}

impl Asker {
    /// To be called within the runtime that is to ask.
    pub fn start(resolver: Resolver) -> Self {
        let (questions, waiting) = mpsc::channel(WAITING);
        let (found, answers) = sync_channel(2 * WAITING);
        tokio::spawn(serve(resolver, waiting, found));
        Self { questions, answers }
    }

    /// Hands the watch what came back, and takes what it wants to know next.
    pub fn exchange(&self, watch: &mut DnsWatch, now: WallMicros) {
        while let Ok((question, published)) = self.answers.try_recv() {
            let Question { sort, of, selector } = &question;
            let answer = published.to_string();
            watch.answered(&question, published, now);
            tracing::debug!(what = ?sort, of, selector, answer, "the DNS watch took an answer");
        }
        let room = self.questions.capacity();
        if room > 0 {
            for question in watch.questions(now, room) {
                // There is room, unless the runtime ends.
                let _ = self.questions.try_send(question);
            }
        }
    }
}

async fn serve(resolver: Resolver, mut questions: mpsc::Receiver<Question>, answers: SyncSender<(Question, Published)>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(question) = questions.recv().await {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (resolver, answers) = (resolver.clone(), answers.clone());
        tokio::spawn(async move {
            let published = ask(&resolver, &question).await;
            if answers.try_send((question, published)).is_err() {
                tracing::debug!("an answer of DNS came when nobody waited for it");
            }
            drop(place);
        });
        tokio::time::sleep(PAUSE).await;
    }
}

/// Asks DNS for what is published now.
pub async fn ask(resolver: &Resolver, question: &Question) -> Published {
    let kind = match question.dns_type() {
        DnsType::Mx => Kind::Mx,
        DnsType::Ns => Kind::Ns,
        DnsType::Txt => Kind::Txt,
        DnsType::Ptr => Kind::Ptr,
    };
    let name = match question.asked() {
        Asked::Name(name) => name,
        Asked::Reverse(ip) => reverse_name(ip),
    };
    let look_up = resolver.look_up_anew(&name, kind, TIMEOUT).await;
    let answer = &look_up.answer;
    match &answer.failure {
        Some(failure) if failure.is_denial() => Published::Nothing,
        Some(_) => Published::Unknown,
        // What doesn't fit is another set each time.
        None if answer.records_beyond > 0 => Published::Unknown,
        // A text may be cut into strings anywhere (RFC 7208 3.3): what counts is what they say together.
        None if kind == Kind::Txt => {
            Published::Records(look_up.texts().iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect())
        }
        None => {
            let of_kind = answer.records.iter().filter(|record| record.record_type == kind.as_str());
            Published::Records(of_kind.map(|record| record.text.clone()).collect())
        }
    }
}
