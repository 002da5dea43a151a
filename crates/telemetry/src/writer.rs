//! The thread that writes the log, so that a stalled reader of the output never stalls the program. Used by `log`.
//!
//! Up to [`CAPACITY`] lines are queued. Lines beyond are dropped and counted; a line with their number follows as soon as
//! there is room.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    time::Duration,
};

use jiff::Timestamp;

use maglev_model::event::{Level, Value};

use super::{log::LogFormat, log_line::LogLine};

/// The maximum number of queued lines: more than a full sync of 1,000 VIPs with 16 application servers each logs.
const CAPACITY: usize = 65_536;

enum Item {
    Line(String),
    Flush(SyncSender<()>),
}

/// The sender of lines to the writer thread. Clones share the thread.
#[derive(Clone)]
pub struct LineWriter {
    lines: SyncSender<Item>,
    lost: Arc<AtomicU64>,
}

impl LineWriter {
    /// Starts the thread that writes to `out`. The thread ends when the last clone is dropped.
    pub fn start(out: Box<dyn Write + Send>, format: LogFormat) -> io::Result<Self> {
        Self::with_capacity(out, format, CAPACITY)
    }

    fn with_capacity(out: Box<dyn Write + Send>, format: LogFormat, capacity: usize) -> io::Result<Self> {
        let (lines, lines_rx) = mpsc::sync_channel(capacity);
        let lost = Arc::new(AtomicU64::new(0));
        let thread = Writer { out, format, lost: Arc::clone(&lost) };
        std::thread::Builder::new().name("log".into()).spawn(move || thread.run(&lines_rx))?;
        Ok(Self { lines, lost })
    }

    /// Queues a line. Never blocks.
    pub fn write(&self, line: String) {
        if self.lines.try_send(Item::Line(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits at most `limit` until all queued lines are written. Returns false on timeout.
    pub fn flush(&self, limit: Duration) -> bool {
        let (done, done_rx) = mpsc::sync_channel(1);
        // A full queue means a stalled reader: waiting would not end.
        self.lines.try_send(Item::Flush(done)).is_ok() && done_rx.recv_timeout(limit).is_ok()
    }
}

struct Writer {
    out: Box<dyn Write + Send>,
    format: LogFormat,
    lost: Arc<AtomicU64>,
}

impl Writer {
    fn run(mut self, lines_rx: &Receiver<Item>) {
        // Written whenever the queue is empty, so that a burst costs one write for many lines.
        let mut pending = Vec::with_capacity(64 * 1024);
        loop {
            match lines_rx.recv_timeout(if pending.is_empty() { Duration::MAX } else { Duration::ZERO }) {
                Ok(Item::Line(line)) => {
                    pending.extend_from_slice(line.as_bytes());
                    if pending.len() >= 64 * 1024 {
                        self.write_out(&mut pending);
                    }
                }
                Ok(Item::Flush(done)) => {
                    self.write_out(&mut pending);
                    let _ = done.try_send(());
                }
                Err(RecvTimeoutError::Timeout) => self.write_out(&mut pending),
                Err(RecvTimeoutError::Disconnected) => {
                    self.write_out(&mut pending);
                    return;
                }
            }
        }
    }

    fn write_out(&mut self, pending: &mut Vec<u8>) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let mut line = LogLine::new(
                self.format,
                Timestamp::now(),
                Level::Warn,
                "log lines were lost because the output stalled",
            );
            line.attribute("count", &Value::Int(i64::try_from(lost).unwrap_or(i64::MAX)));
            pending.extend_from_slice(line.finish().as_bytes());
        }
        // A closed output cannot be reported anywhere.
        let _ = self.out.write_all(pending).and_then(|()| self.out.flush());
        pending.clear();
    }
}

#[cfg(test)]
pub mod tests {
    use std::sync::{Mutex, MutexGuard};

    use super::*;

    /// An output that a test can read, and block while it holds the guard.
    #[derive(Clone, Default)]
    pub struct Output(Arc<Mutex<Vec<u8>>>);

    impl Output {
        pub fn text(&self) -> String {
            String::from_utf8(self.lock().clone()).expect("the log is UTF-8")
        }

        fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
            self.0.lock().expect("no writer panics")
        }
    }

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stalled_output_loses_lines_and_logs_their_number() {
        let output = Output::default();
        let writer =
            LineWriter::with_capacity(Box::new(output.clone()), LogFormat::Text, 4).expect("the thread starts");
        writer.write("first\n".into());
        assert!(writer.flush(Duration::from_secs(30)));
        let stalled = output.lock();
        for n in 0..100 {
            writer.write(format!("line {n}\n"));
        }
        assert!(!writer.flush(Duration::from_millis(1)), "the output is blocked");
        drop(stalled);
        // The queue was full a moment ago: a flush fails until the thread has taken a line.
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while !writer.flush(Duration::from_secs(1)) {
            assert!(std::time::Instant::now() < deadline, "the writer never resumed");
            std::thread::yield_now();
        }
        writer.write("last\n".into());
        assert!(writer.flush(Duration::from_secs(30)));

        let text = output.text();
        let written = text.lines().filter(|line| line.starts_with("line ")).count();
        let lost: usize = text
            .lines()
            .filter_map(|line| line.split_once("WARN \"log lines were lost because the output stalled\" count="))
            .map(|(_, count)| count.parse::<usize>().expect("a number"))
            .sum();
        assert!(lost > 0 && written > 0);
        assert_eq!(written + lost, 100);
        assert!(text.starts_with("first\n") && text.contains("last\n"));
    }
}
