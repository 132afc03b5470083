//! The sinks that forward traces, and what sends metrics: each on a thread that stands back for those that serve mail.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::config::{ExportOptions, Loaded};
use crate::export::format::{Context, Encoder};
use crate::export::transport::Target;
use crate::export::{Feed, Handle, Sink, Status, key_of_store, known_places};
use crate::metrics::{Push, Sources};
use crate::store::{Cursor, Store};
use crate::trace::{Kept, Origin};

/// What runs while this process has the store.
pub(super) struct Exporting {
    stop: watch::Sender<bool>,
    handles: Vec<Handle>,
    threads: Vec<JoinHandle<()>>,
}

impl Exporting {
    /// Starts every sink of the configuration; new ones begin at `began`, or now. One that can't be started is said, and the others go on.
    /// `before`: those that ran until now; who has the same name goes on counting.
    pub fn start(store: &Store, loaded: &Loaded, origin: Origin, began: Option<Cursor>, before: &[Handle], sources: &Sources) -> Self {
        let dir = &loaded.store.dir;
        let (feed, origin) = (Arc::new(Feed::new(store.clone())), Arc::new(Kept::new(origin)));
        let mut exporting = Self { stop: watch::Sender::new(false), handles: Vec::new(), threads: Vec::new() };
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
            match Sink::new(options.clone(), feed.clone(), dir.clone(), encoder, origin.clone(), began, exporting.stop.subscribe()) {
                Ok((sink, handle)) => exporting.run(move |runtime| runtime.block_on(sink.run()), handle, before),
                Err(error) => {
                    tracing::error!(export = options.name, %error, "nothing is exported there: mend or remove that file, `relayscope export replay` sends again");
                    let status = Status::new(options.name.clone(), options.target.kind(), options.target.to());
                    status.failed(format!("nothing is exported: {error}"), store.now());
                    exporting.handles.push(Handle::without_place(Arc::new(status)));
                }
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
                self.threads.push(thread);
                self.handles.push(handle);
            }
            Err(error) => tracing::error!(export = name, %error, "its thread could not be started"),
        }
    }

    pub fn handles(&self) -> Vec<Handle> {
        self.handles.clone()
    }

    /// Ends them all; what their receivers have is written down.
    pub async fn end(self) {
        self.stop.send_replace(true);
        let threads = self.threads;
        let ended = tokio::task::spawn_blocking(move || threads.into_iter().all(|thread| thread.join().is_ok())).await;
        if !matches!(ended, Ok(true)) {
            tracing::error!("the thread of an export panicked");
        }
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
