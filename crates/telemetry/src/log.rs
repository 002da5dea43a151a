//! The log: a `tracing` subscriber that prints events and diagnostics in one format.
//!
//! The bus sends each event as a `tracing` event of the target `maglev::event`, with the complete line in a single
//! field: names and order of attributes come from `model::event`. Any other `tracing` event becomes a line of the same
//! format. The log level applies to the targets of this project; libraries are logged from `warn`, and the Kubernetes
//! client not at all, because it prints requests and repeats errors that `maglev_kube` logs once a minute.

use std::{fmt, io::Write, str::FromStr, time::Duration};

use jiff::Timestamp;
use tracing::{
    Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    Layer,
    filter::Targets,
    layer::{Context, SubscriberExt as _},
    registry::Registry,
    util::SubscriberInitExt as _,
};

use maglev_model::event::{Event, Level, Value};

use super::{Error, abort_on_panic, log_line::LogLine, writer::LineWriter};

/// The `tracing` target of events.
pub(crate) const EVENT_TARGET: &str = "maglev::event";

/// The time that the end of the program waits for the log to be written.
pub(crate) const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// The format of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `2026-11-23T02:00:00.123Z INFO vpp-connect version=26.10 pid=7`.
    #[default]
    Text,
    /// One JSON object per line: `time`, `level`, `msg`, then the attributes.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("found {other:?}, allowed are text and json")),
        }
    }
}

/// Parses a log level: `debug`, `info`, `warn` or `error`.
///
/// # Errors
/// Human-readable message with the text found and the values allowed.
pub fn parse_level(text: &str) -> Result<Level, String> {
    match text.to_ascii_lowercase().as_str() {
        "debug" => Ok(Level::Debug),
        "info" => Ok(Level::Info),
        "warn" | "warning" => Ok(Level::Warn),
        "error" => Ok(Level::Error),
        other => Err(format!("found {other:?}, allowed are debug, info, warn and error")),
    }
}

#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    pub format: LogFormat,
    /// The minimum level. `Debug` includes the probe lane.
    pub level: Level,
}

/// Flushes the log when dropped, for at most 2 s.
#[must_use = "dropping the guard at once loses the end of the log"]
pub struct LogGuard(LineWriter);

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.0.flush(FLUSH_LIMIT);
    }
}

/// Sets up the log of this process, on stdout. From now on a panic of any thread or task is logged and ends the process
/// with SIGABRT: a program without one of its parts must not continue, and Kubernetes restarts it.
///
/// # Errors
/// The log is set up already, or the writer thread cannot be started.
pub fn init(options: LogOptions) -> Result<LogGuard, Error> {
    let (subscriber, guard) = subscriber(options, Box::new(std::io::stdout()))?;
    subscriber.try_init().map_err(Error::Log)?;
    abort_on_panic::install(options.format, guard.0.clone());
    Ok(guard)
}

/// A subscriber that writes to `out`. [`init`] installs it globally.
///
/// # Errors
/// The writer thread cannot be started.
pub fn subscriber(
    options: LogOptions,
    out: Box<dyn Write + Send>,
) -> Result<(impl Subscriber + Send + Sync + 'static, LogGuard), Error> {
    let writer = LineWriter::start(out, options.format).map_err(Error::Writer)?;
    let layer = LogLayer { format: options.format, writer: writer.clone() };
    let subscriber = Registry::default().with(layer.with_filter(targets(options.level)));
    Ok((subscriber, LogGuard(writer)))
}

fn targets(level: Level) -> Targets {
    let level = match level {
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    };
    Targets::new()
        .with_default(LevelFilter::WARN.min(level))
        .with_target("maglev", level)
        .with_target("maglevd", level)
        .with_target("kube_client", LevelFilter::OFF)
        .with_target("kube_runtime", LevelFilter::OFF)
}

/// Logs an event.
pub(crate) fn log_event(time: Timestamp, event: &Event) {
    // The level of a `tracing` event is part of its callsite, hence four callsites.
    macro_rules! log_at {
        ($level:ident) => {
            tracing::event!(target: EVENT_TARGET, tracing::Level::$level, event = %EventLine(time, event))
        };
    }
    match event.level() {
        Level::Debug => log_at!(DEBUG),
        Level::Info => log_at!(INFO),
        Level::Warn => log_at!(WARN),
        Level::Error => log_at!(ERROR),
    }
}

/// Formats an event as its complete line: `{}` as text, `{:#}` as JSON.
struct EventLine<'a>(Timestamp, &'a Event);

impl fmt::Display for EventLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = if f.alternate() { LogFormat::Json } else { LogFormat::Text };
        f.write_str(&LogLine::for_event(format, self.0, self.1))
    }
}

struct LogLayer {
    format: LogFormat,
    writer: LineWriter,
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let line = if event.metadata().target() == EVENT_TARGET {
            let mut visitor = EventLineVisitor { format: self.format, line: String::new() };
            event.record(&mut visitor);
            visitor.line
        } else {
            diagnostic(self.format, Timestamp::now(), event)
        };
        self.writer.write(line);
    }
}

/// Reads the line of an [`EventLine`].
struct EventLineVisitor {
    format: LogFormat,
    line: String,
}

impl Visit for EventLineVisitor {
    fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
        self.line = match self.format {
            LogFormat::Text => format!("{value:?}"),
            LogFormat::Json => format!("{value:#?}"),
        };
    }
}

/// The line of a diagnostic: its message, then its fields.
fn diagnostic(format: LogFormat, time: Timestamp, event: &tracing::Event<'_>) -> String {
    let mut message = MessageVisitor(None);
    event.record(&mut message);
    let message = message.0.unwrap_or_else(|| event.metadata().target().to_owned());
    let mut attributes = AttributeVisitor(LogLine::new(format, time, level_of(event.metadata()), &message));
    event.record(&mut attributes);
    attributes.0.finish()
}

fn level_of(metadata: &Metadata<'_>) -> Level {
    match *metadata.level() {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        _ => Level::Debug,
    }
}

struct MessageVisitor(Option<String>);

impl Visit for MessageVisitor {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = Some(format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.0 = Some(value.to_owned());
        }
    }
}

struct AttributeVisitor(LogLine);

impl AttributeVisitor {
    fn add(&mut self, field: &Field, value: &Value<'_>) {
        if field.name() != "message" {
            self.0.attribute(field.name(), value);
        }
    }
}

impl Visit for AttributeVisitor {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, &value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, &value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.add(field, &value.into()),
            Err(_) => self.add(field, &value.to_string().into()),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, &value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, &Value::Float(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, &maglev_net::error_chain(value).into());
    }
}

#[cfg(test)]
mod tests;
