//! The sinks that forward traces, and what sends metrics: each on a thread that stands back for those that serve mail.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use super::{Running, build};
use crate::config::{ExportOptions, Loaded};
use crate::export::format::{Context, Encoder};
use crate::export::transport::Target;
use crate::export::{Feed, Ground, Handle, Order, Sink, key_of_store, known_places};
use crate::metrics::{Push, Sources};
use crate::store::{Cursor, Store};
use crate::trace::{Kept, Origin};

/// Farewells take no longer. A thread that hasn't ended by then hangs: on a disk, for example.
pub(super) const FAREWELL: Duration = Duration::from_secs(10);
/// How often it is looked whether a thread has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What runs while this process has the store.
pub(super) struct Exporting {
    stop: watch::Sender<bool>,
    handles: Vec<Handle>,
    threads: Vec<Thread>,
    /// Of those that ran before, and hang.
    left: Vec<Thread>,
}

/// The thread of the export of that name.
#[derive(Debug, Clone)]
pub(super) struct Thread {
    name: String,
    handle: Arc<JoinHandle<()>>,
}

impl Running {
    pub(super) fn export(&mut self) {
        let began = self.began.take();
        let (sources, left) = (self.sources(), std::mem::take(&mut self.left));
        let (origin, before) = (build::origin(&self.loaded), self.exports.borrow().clone());
        let exporting = Exporting::start(&self.store, &self.loaded, origin, began, &before, left, &sources);
        self.exports.send_replace(exporting.handles());
        self.exporting = Some(exporting);
    }

    pub(super) async fn end_exports(&mut self) {
        if let Some(exporting) = self.exporting.take() {
            self.left = exporting.end(FAREWELL).await;
        }
    }
}

impl Exporting {
    /// Starts every sink of the configuration; new ones begin at `began`, or now. One that can't be started is said, and the others go on.
    /// `before`: those that ran until now; who has the same name goes on counting. `left`: what hangs of what ended; who has the same name
    /// waits for it.
    fn start(
        store: &Store,
        loaded: &Loaded,
        origin: Origin,
        began: Option<Cursor>,
        before: &[Handle],
        left: Vec<Thread>,
        sources: &Sources,
    ) -> Self {
        let dir = &loaded.store.dir;
        let (feed, origin) = (Arc::new(Feed::new(store.clone())), Arc::new(Kept::new(origin)));
        let mut exporting = Self { stop: watch::Sender::new(false), handles: Vec::new(), threads: Vec::new(), left };
        for options in &loaded.exports {
            if let Some((push, status)) = Push::new(&options.name, &options.target, sources.clone(), exporting.stop.subscribe()) {
                exporting.run(move |runtime| runtime.block_on(push.run()), Handle::without_place(status), before);
            }
            if !is_of_records(options) {
                continue;
            }
            let mut options = options.clone();
            if options.redaction.hashes() {
                options.redaction.key = key_of_store(dir);
            }
            let encoder = encoder(&options, &loaded.node);
            let (handle, mut orders) = Handle::new(&options);
            let stopped = exporting.stop.subscribe();
            let ground = Ground { feed: feed.clone(), store_dir: dir.clone(), origin: origin.clone(), began, stopped };
            let hanging: Vec<Thread> = exporting.left.iter().filter(|thread| thread.name == options.name).cloned().collect();
            let (status, clock) = (handle.status.clone(), store.clone());
            let take_up = move |orders| {
                let sink = Sink::new(options, encoder, ground, status.clone(), orders);
                sink.inspect_err(|error| {
                    tracing::error!(export = status.name, %error, "nothing is exported there: mend or remove that file, `relayscope export replay` sends again");
                    status.failed(format!("nothing is exported: {error}"), clock.now());
                })
            };
            if !hanging.is_empty() {
                handle.status.failed("nothing is exported: what ran before the reload hangs".to_owned(), store.now());
                let stopped = exporting.stop.subscribe();
                let run = move |runtime: &Runtime| {
                    while hanging.iter().any(|thread| !thread.handle.is_finished()) && !*stopped.borrow() {
                        refuse(&mut orders);
                        std::thread::sleep(LOOK_EVERY);
                    }
                    if !*stopped.borrow()
                        && let Ok(sink) = take_up(orders)
                    {
                        runtime.block_on(sink.run());
                    }
                };
                exporting.run(run, handle, before);
                continue;
            }
            match take_up(orders) {
                Ok(sink) => exporting.run(move |runtime| runtime.block_on(sink.run()), handle, before),
                Err(_) => exporting.handles.push(handle),
            }
        }
        for name in known_places(dir) {
            if !loaded.exports.iter().any(|options| options.name == name) {
                tracing::info!(
                    export = name,
                    "has a place in the journal, but isn't configured (any more): it goes on there if it comes back"
                );
            }
        }
        exporting
    }

    fn run(&mut self, export: impl FnOnce(&Runtime) + Send + 'static, handle: Handle, before: &[Handle]) {
        let name = handle.status.name.clone();
        let same = before.iter().find(|it| it.status.name == name && it.status.kind == handle.status.kind);
        same.into_iter().for_each(|it| handle.status.count_on_from(&it.status));
        let body = move || {
            if let Err(error) = rustix::process::nice(10) {
                tracing::debug!(%error, "the thread of an export can't stand back");
            }
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => {
                    export(&runtime);
                    // Whoever still looks at a disk that hangs isn't waited for.
                    runtime.shutdown_background();
                }
                Err(error) => tracing::error!(%error, "an export has no runtime"),
            }
        };
        match std::thread::Builder::new().name(format!("export-{name}")).spawn(body) {
            Ok(thread) => {
                self.threads.push(Thread { name, handle: Arc::new(thread) });
                self.handles.push(handle);
            }
            Err(error) => tracing::error!(export = name, %error, "its thread could not be started"),
        }
    }

    pub fn handles(&self) -> Vec<Handle> {
        self.handles.clone()
    }

    /// Ends them all; what their receivers have is written down. A thread that hangs is left behind: those are given.
    async fn end(self, limit: Duration) -> Vec<Thread> {
        self.stop.send_replace(true);
        wait_for(limit, || self.threads.iter().all(|thread| thread.handle.is_finished())).await;
        let mut left = self.left;
        for thread in self.threads {
            let name = thread.name.clone();
            if !thread.handle.is_finished() {
                tracing::error!(
                    export = name,
                    "it hangs, on its disk perhaps, and is left behind: what it was about to note may be sent again"
                );
                left.push(thread);
            } else if Arc::into_inner(thread.handle).is_some_and(|handle| handle.join().is_err()) {
                tracing::error!(export = name, "the thread of an export panicked");
            }
        }
        left.retain(|thread| !thread.handle.is_finished());
        left
    }
}

/// Returns when that is so, or it took too long.
pub(super) async fn wait_for(limit: Duration, is_so: impl Fn() -> bool) {
    let until = Instant::now() + limit;
    while !is_so() && Instant::now() < until {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Nothing can be ordered of an export whose disk, perhaps, hangs: whoever asks is told.
fn refuse(orders: &mut mpsc::Receiver<Order>) {
    while let Ok(Order::Replay { done, .. }) = orders.try_recv() {
        let _ = done.send(Err(io::Error::other("what ran before the reload hangs; ask again when it has come back")));
    }
}

/// Whether it needs a place in the journal, or only sends metrics.
fn is_of_records(options: &ExportOptions) -> bool {
    !matches!(&options.target, Target::Otlp(target) if !target.signals.any())
}

fn encoder(options: &ExportOptions, node: &str) -> Encoder {
    let context = Context { max_event: options.max_event, timeline: options.timeline, ..Context::new(node) };
    let encoder = Encoder::new(options.format, context);
    match &options.target {
        Target::Otlp(target) => encoder.wrapped(target.signals),
        _ => encoder,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_ordered_of_an_export_that_hangs_is_refused() {
        let (told, mut orders) = mpsc::channel(4);
        let (done, written) = tokio::sync::oneshot::channel();
        told.send(Order::Replay { since: 1, done }).await.unwrap();
        refuse(&mut orders);
        assert!(written.await.unwrap().unwrap_err().to_string().contains("hangs"));
    }

    #[tokio::test]
    async fn a_thread_that_hangs_is_left_behind_and_remembered_until_it_ends() {
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let thread =
            |name: &str, body: Box<dyn FnOnce() + Send>| Thread { name: name.to_owned(), handle: Arc::new(std::thread::spawn(body)) };
        let hangs = thread("archive", Box::new(move || gone.recv().unwrap_or_default()));
        let of = |threads, left| Exporting { stop: watch::Sender::new(false), handles: Vec::new(), threads, left };
        let ends = thread("siem", Box::new(|| {}));
        wait_for(FAREWELL, || ends.handle.is_finished()).await;
        let left = of(vec![hangs, ends], Vec::new()).end(Duration::from_millis(50)).await;
        assert_eq!(left.iter().map(|thread| thread.name.as_str()).collect::<Vec<_>>(), ["archive"]);
        let left = of(Vec::new(), left).end(FAREWELL).await;
        assert_eq!(left.len(), 1);
        drop(go);
        wait_for(FAREWELL, || left.iter().all(|thread| thread.handle.is_finished())).await;
        assert_eq!(of(Vec::new(), left).end(FAREWELL).await.len(), 0);
    }
}
