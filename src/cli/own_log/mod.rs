//! Our own log: where it goes, in which form, and what of it is written. Whoever logs waits for nobody who reads.
//!
//! Text from the wire is inert in each form: text escapes it, JSON quotes it, the journal gets it with its length.

mod journald;
mod line;
mod queue;

use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{LogFormat, LogOptions};
use journald::Journald;
use queue::{Note, Queue};

/// Goes before what the file says, as in `info,relayscope::store=debug`.
const VARIABLE: &str = "RELAYSCOPE_LOG";
/// How long the end of the process waits for whoever reads the log.
const FAREWELL: Duration = Duration::from_secs(2);

/// The log that was started. Dropped, it sees to it that what was logged is written.
pub struct OwnLog {
    filter: reload::Handle<EnvFilter, Registry>,
    options: LogOptions,
    /// [`VARIABLE`] counts.
    from_environment: bool,
    /// Lines on their way to standard error, unless they go to the journal.
    queue: Option<Queue>,
}

impl Drop for OwnLog {
    fn drop(&mut self) {
        self.settle();
    }
}

impl OwnLog {
    /// Starts it, once for the process.
    pub fn start(options: LogOptions) -> Self {
        let (is_given, refused) = match from_environment() {
            None => (None, None),
            Some(Ok(filter)) => (Some(filter), None),
            Some(Err(error)) => (None, Some(error)),
        };
        let from_environment = is_given.is_some();
        let (filter, handle) = reload::Layer::new(is_given.unwrap_or_else(|| filter(&options)));
        let (layer, queue, trouble) = layer(options.format);
        tracing_subscriber::registry().with(filter).with(layer).init();
        if let Some(error) = trouble {
            tracing::warn!(%error, "the journal can't be reached: the log goes to standard error as text");
        }
        if let Some(error) = refused {
            tracing::warn!(%error, "{VARIABLE} can't be read as directives, and [log] counts: write them as in `info,relayscope=debug`");
        }
        Self { filter: handle, options, from_environment, queue }
    }

    /// Waits, not for long, until what was logged is written: what is printed now comes behind it.
    pub fn settle(&self) {
        if let Some(queue) = &self.queue {
            queue.settle(FAREWELL);
        }
    }

    /// Takes over what of it a reload can change.
    pub fn reload(&mut self, options: &LogOptions) {
        if options.format != self.options.format {
            tracing::warn!("`format` of [log] changes only with a restart");
        }
        let changed = options.level != self.options.level || options.filter != self.options.filter;
        if !changed {
            return;
        }
        self.options = LogOptions { format: self.options.format, ..options.clone() };
        if self.from_environment {
            return tracing::warn!("{VARIABLE} goes before [log]: what is written stays as it is");
        }
        match self.filter.reload(filter(options)) {
            Ok(()) => tracing::info!(level = %tracing::Level::from(options.level), filter = options.filter, "the log's filter has changed"),
            Err(error) => tracing::error!(%error, "the log's filter can't be changed"),
        }
    }
}

fn from_environment() -> Option<Result<EnvFilter, ParseError>> {
    let directives = std::env::var_os(VARIABLE).filter(|directives| !directives.is_empty())?;
    Some(EnvFilter::builder().parse(directives.to_string_lossy()))
}

/// The level for all, libraries that talk much put down, then what the directives say.
fn filter(options: &LogOptions) -> EnvFilter {
    let level = tracing::Level::from(options.level);
    let more = options.filter.as_deref().map(|filter| format!(",{filter}")).unwrap_or_default();
    EnvFilter::new(format!("{level},sled=warn,hickory_resolver=error,hickory_proto=error{more}"))
}

type Boxed<S> = Box<dyn Layer<S> + Send + Sync>;

/// The form, what waits to be written in it, and why it isn't the form that was wanted.
fn layer<S>(format: LogFormat) -> (Boxed<S>, Option<Queue>, Option<std::io::Error>)
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let wants_journal = match format {
        LogFormat::Json => {
            let (writer, queue) = standard_error(json_note);
            return (json(writer), queue, None);
        }
        LogFormat::Text => false,
        LogFormat::Journald => true,
        LogFormat::Auto => is_journal(),
    };
    let trouble = match wants_journal.then(Journald::connect) {
        Some(Ok(journald)) => return (journald.boxed(), None, None),
        Some(Err(error)) => Some(error),
        None => None,
    };
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    let (writer, queue) = standard_error(text_note);
    (text(writer, colour), queue, trouble)
}

/// By way of a queue; or straight, where there is no thread for it: then there is none for mail either, and what is logged says so.
fn standard_error(note: Note) -> (BoxMakeWriter, Option<Queue>) {
    match Queue::start(std::io::stderr(), note) {
        Ok(queue) => (BoxMakeWriter::new(queue.clone()), Some(queue)),
        Err(_) => (BoxMakeWriter::new(std::io::stderr), None),
    }
}

fn text<S>(writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static, colour: bool) -> Boxed<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    fmt::layer().with_writer(writer).with_ansi(colour).with_target(false).fmt_fields(line::fields()).boxed()
}

fn json<S>(writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static) -> Boxed<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    fmt::layer().json().with_writer(writer).boxed()
}

/// What [`text`] would write of a warning with these words.
fn text_note(words: &str) -> String {
    format!("{:.6}  WARN {words}\n", Timestamp::now())
}

/// What [`json`] would.
fn json_note(words: &str) -> String {
    let timestamp = format!("{:.6}", Timestamp::now());
    format!("{}\n", json!({"timestamp": timestamp, "level": "WARN", "fields": {"message": words}, "target": module_path!()}))
}

/// How lines are told of that are lost.
fn not_taken(by: &str, lines: u64) -> String {
    format!("{by} did not take {lines} lines of the log")
}

/// Whether standard error is the stream that systemd led to its journal (systemd.exec(5), `$JOURNAL_STREAM`).
fn is_journal() -> bool {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    std::fs::metadata("/proc/self/fd/2").is_ok_and(|it| stream == format!("{}:{}", it.dev(), it.ino()))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use crate::config::LogLevel;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Written {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    /// What is written of an event full of hostile text.
    fn written(form: impl FnOnce(Written) -> Boxed<Registry>) -> String {
        let written = Written::default();
        let hostile = "x\n2026-11-27T00:00:00Z ERROR forged\r\u{1b}[2J\u{9b}31m\u{202e}";
        tracing::subscriber::with_default(tracing_subscriber::registry().with(form(written.clone())), || {
            tracing::warn!(error = %hostile, listener = hostile, ?hostile, "host not reached: {hostile}");
        });
        let octets = written.0.lock().unwrap().clone();
        String::from_utf8(octets).unwrap()
    }

    #[test]
    fn hostile_text_stays_in_its_line() {
        let text = written(|it| text(it, false));
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(!text.trim_end().chars().any(|it| it.is_control() || it == '\u{202e}'), "{text:?}");
        assert!(
            text.contains("host not reached: x\\n2026-11-27T00:00:00Z ERROR forged\\r\\x1b[2J") && text.contains(" error=x\\n"),
            "{text}"
        );
        let json = written(json);
        assert_eq!(json.matches('\n').count(), 1, "{json}");
        let line: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(line["level"], "WARN");
    }

    #[test]
    fn lost_lines_are_told_in_the_form_of_the_others() {
        let said = |form: fn(Written) -> Boxed<Registry>| {
            let written = Written::default();
            tracing::subscriber::with_default(tracing_subscriber::registry().with(form(written.clone())), || tracing::warn!("words"));
            let octets = written.0.lock().unwrap().clone();
            String::from_utf8(octets).unwrap()
        };
        let (line, note) = (said(|it| text(it, false)), text_note("words"));
        let time = "2026-11-28T20:00:00.000000Z".len();
        assert_eq!((line.len(), &line[time..]), (note.len(), &note[time..]), "{line}{note}");
        let (line, note) = (said(json), json_note("words"));
        let members = |line: &str| match serde_json::from_str(line).unwrap() {
            serde_json::Value::Object(members) => (members["timestamp"].as_str().unwrap().len(), members["fields"].clone(), members.len()),
            other => panic!("{other}"),
        };
        assert_eq!(members(&line), members(&note));
        assert!(note.ends_with("}\n"));
    }

    #[test]
    fn directives_go_before_the_level() {
        let options =
            |filter: Option<&str>| LogOptions { level: LogLevel::Warn, format: LogFormat::Text, filter: filter.map(str::to_owned) };
        assert_eq!(filter(&options(None)).max_level_hint(), Some(tracing::level_filters::LevelFilter::WARN));
        let debug = filter(&options(Some("relayscope::store=debug")));
        assert_eq!(debug.max_level_hint(), Some(tracing::level_filters::LevelFilter::DEBUG));
        assert!(debug.to_string().contains("relayscope::store=debug"), "{debug}");
    }
}
