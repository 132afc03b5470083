//! Our own log: where it goes, in which form, and what of it is written.
//!
//! Text from the wire is inert in each form: text escapes it, JSON quotes it, the journal gets it with its length.

mod journald;
mod line;

use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;

use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{LogFormat, LogOptions};
use journald::Journald;

/// Goes before what the file says, as in `info,relayscope::store=debug`.
const VARIABLE: &str = "RELAYSCOPE_LOG";

/// The log that was started.
pub struct OwnLog {
    filter: reload::Handle<EnvFilter, Registry>,
    options: LogOptions,
    /// [`VARIABLE`] counts.
    from_environment: bool,
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
        let (layer, trouble) = layer(options.format);
        tracing_subscriber::registry().with(filter).with(layer).init();
        if let Some(error) = trouble {
            tracing::warn!(%error, "the journal can't be reached: the log goes to standard error as text");
        }
        if let Some(error) = refused {
            tracing::warn!(%error, "{VARIABLE} can't be read as directives, and [log] counts: write them as in `info,relayscope=debug`");
        }
        Self { filter: handle, options, from_environment }
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

/// The form; and why it isn't the one that was wanted.
fn layer<S>(format: LogFormat) -> (Boxed<S>, Option<std::io::Error>)
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let wants_journal = match format {
        LogFormat::Json => return (fmt::layer().json().with_writer(std::io::stderr).boxed(), None),
        LogFormat::Text => false,
        LogFormat::Journald => true,
        LogFormat::Auto => is_journal(),
    };
    if wants_journal {
        match Journald::connect() {
            Ok(journald) => return (journald.boxed(), None),
            Err(error) => return (text().boxed(), Some(error)),
        }
    }
    (text().boxed(), None)
}

fn text<S>() -> impl Layer<S> + Send + Sync
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    fmt::layer().with_writer(std::io::stderr).with_ansi(colour).with_target(false).fmt_fields(line::fields())
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
        let text = written(|it| fmt::layer().with_writer(it).with_ansi(false).fmt_fields(line::fields()).boxed());
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(!text.trim_end().chars().any(|it| it.is_control() || it == '\u{202e}'), "{text:?}");
        assert!(
            text.contains("host not reached: x\\n2026-11-27T00:00:00Z ERROR forged\\r\\x1b[2J") && text.contains(" error=x\\n"),
            "{text}"
        );
        let json = written(|it| fmt::layer().json().with_writer(it).boxed());
        assert_eq!(json.matches('\n').count(), 1, "{json}");
        let line: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(line["level"], "WARN");
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
