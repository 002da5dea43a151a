//! The end of a program by a panic: one line in the log, then SIGABRT. Installed by `log::init`.
//!
//! The hook runs before the stack unwinds, so neither Tokio nor a `catch_unwind` can turn the panic of one task into a
//! program without that task. Other threads continue until the line is written, for at most [`FLUSH_LIMIT`].

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::Write as _,
    panic::{self, PanicHookInfo},
    process, thread,
};

use jiff::Timestamp;
use parking_lot::Mutex;

use maglev_model::event::Level;

use super::{
    log::{FLUSH_LIMIT, LogFormat},
    log_line::LogLine,
    writer::LineWriter,
};

/// Replaces the panic hook of this process.
pub fn install(format: LogFormat, writer: LineWriter) {
    let first = Mutex::new(());
    panic::set_hook(Box::new(move |info| {
        // Never released: a second thread that panics waits here for the end of the process.
        let _first = first.lock();
        let line = line(format, info);
        writer.write(line.clone());
        if !writer.flush(FLUSH_LIMIT) {
            // The log's output stalls, or the log thread itself panicked. A closed stderr cannot be reported anywhere.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        process::abort();
    }));
}

fn line(format: LogFormat, info: &PanicHookInfo<'_>) -> String {
    let mut line = LogLine::new(format, Timestamp::now(), Level::Error, "panic");
    line.attribute("error", &info.payload_as_str().unwrap_or("unknown").into());
    if let Some(location) = info.location() {
        line.attribute("location", &location.to_string().into());
    }
    line.attribute("thread", &thread::current().name().unwrap_or("unnamed").into());
    // Captured only if RUST_BACKTRACE is set.
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        line.attribute("backtrace", &backtrace.to_string().into());
    }
    line.finish()
}
