//! Sets up the log: a `tracing` subscriber that prints events and diagnostics alike.
//!
//! An event reaches the subscriber as one `tracing` event of the target [`EVENTS`], made by the bus,
//! whose single field hands its text over as it is: attribute names and order are `model::event`'s.
//! Everything else that the rooms tell through `tracing` becomes a line of the same shape. Only our
//! own targets obey the log level; libraries are heard from `warn` on, and the Kubernetes client not
//! at all, because it prints requests and repeats what `k8s` tells once a minute.

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

use super::{Error, line::Line, writer::LineWriter};

/// The `tracing` target of events.
pub(crate) const EVENTS: &str = "maglev::event";

/// How long the end of the program waits for the log to be written.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `2026-11-23T02:00:00.123Z INFO vpp-connect version=26.10 pid=7`.
    #[default]
    Text,
    /// One JSON object a line: `time`, `level`, `msg`, then the attributes.
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

/// Reads a log level: `debug`, `info`, `warn` or `error`.
///
/// # Errors
/// A sentence that names what was found and what is allowed.
pub fn parse_level(text: &str) -> Result<Level, String> {
    match text.to_ascii_lowercase().as_str() {
        "debug" => Ok(Level::Debug),
        "info" => Ok(Level::Info),
        "warn" | "warning" => Ok(Level::Warn),
        "error" => Ok(Level::Error),
        other => Err(format!("found {other:?}, allowed are debug, info, warn and error")),
    }
}

/// What the log prints, and how.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// Text or JSON.
    pub format: LogFormat,
    /// The least level that is printed; `Debug` also asks for the probe lane.
    pub level: Level,
}

/// Keeps the log; when it goes, all lines so far are written out (for at most 2 s).
#[must_use = "dropping the guard at once loses the end of the log"]
pub struct LogGuard(LineWriter);

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.0.flush(FLUSH_LIMIT);
    }
}

/// Sets up the log of this process, written to stdout.
///
/// # Errors
/// If it is set up already, or its thread does not start.
pub fn init(options: LogOptions) -> Result<LogGuard, Error> {
    let (subscriber, guard) = subscriber(options, Box::new(std::io::stdout()))?;
    subscriber.try_init().map_err(Error::Log)?;
    Ok(guard)
}

/// A subscriber that writes to `out`; what [`init`] makes the process's own.
///
/// # Errors
/// If its thread does not start.
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

/// Hands an event to the log.
pub(crate) fn tell(time: Timestamp, event: &Event) {
    // The level of a `tracing` event is part of its callsite, hence four of them.
    macro_rules! tell {
        ($level:ident) => {
            tracing::event!(target: EVENTS, tracing::Level::$level, event = %AsLine(time, event))
        };
    }
    match event.level() {
        Level::Debug => tell!(DEBUG),
        Level::Info => tell!(INFO),
        Level::Warn => tell!(WARN),
        Level::Error => tell!(ERROR),
    }
}

/// Prints an event as its whole line: `{}` as text, `{:#}` as JSON.
struct AsLine<'a>(Timestamp, &'a Event);

impl fmt::Display for AsLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = if f.alternate() { LogFormat::Json } else { LogFormat::Text };
        f.write_str(&Line::of_event(format, self.0, self.1))
    }
}

struct LogLayer {
    format: LogFormat,
    writer: LineWriter,
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let line = if event.metadata().target() == EVENTS {
            let mut taken = TakeLine { format: self.format, line: String::new() };
            event.record(&mut taken);
            taken.line
        } else {
            diagnostic(self.format, Timestamp::now(), event)
        };
        self.writer.write(line);
    }
}

/// Takes the line that [`AsLine`] prints.
struct TakeLine {
    format: LogFormat,
    line: String,
}

impl Visit for TakeLine {
    fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
        self.line = match self.format {
            LogFormat::Text => format!("{value:?}"),
            LogFormat::Json => format!("{value:#?}"),
        };
    }
}

/// The line of a free-form diagnostic: its message, then its fields.
fn diagnostic(format: LogFormat, time: Timestamp, event: &tracing::Event<'_>) -> String {
    let mut message = Message(None);
    event.record(&mut message);
    let message = message.0.unwrap_or_else(|| event.metadata().target().to_owned());
    let mut attributes = Attributes(Line::new(format, time, level_of(event.metadata()), &message));
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

struct Message(Option<String>);

impl Visit for Message {
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

struct Attributes(Line);

impl Attributes {
    fn add(&mut self, field: &Field, value: &Value<'_>) {
        if field.name() != "message" {
            self.0.attribute(field.name(), value);
        }
    }
}

impl Visit for Attributes {
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
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        self.add(field, &text.into());
    }
}

#[cfg(test)]
mod tests;
