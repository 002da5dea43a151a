//! The thread that writes the log, so that a reader of our output that stalls never stalls the
//! program. Used by `log` alone.
//!
//! Up to [`CAPACITY`] lines wait; what comes while they do is dropped, counted, and told by a line
//! of its own as soon as there is room.

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

use super::{line::Line, log::LogFormat};

/// Lines that may wait: more than one full sync of 1,000 VIPs with 16 application servers each.
const CAPACITY: usize = 65_536;

enum Item {
    Line(String),
    Flush(SyncSender<()>),
}

/// Takes lines; a clone shares the thread.
#[derive(Clone)]
pub struct LineWriter {
    lines: SyncSender<Item>,
    lost: Arc<AtomicU64>,
}

impl LineWriter {
    /// Starts the thread that writes to `out`. It ends when the last clone is gone.
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

    /// Takes a line. Never blocks.
    pub fn write(&self, line: String) {
        if self.lines.try_send(Item::Line(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all lines taken so far are written, at most for `limit`; whether they are.
    pub fn flush(&self, limit: Duration) -> bool {
        let (done, done_rx) = mpsc::sync_channel(1);
        // Where the queue is full the reader has stalled, and waiting for it would not end.
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
        // Written out whenever the queue is empty: a busy time costs one write for many lines.
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
            let mut line = Line::new(self.format, Timestamp::now(), Level::Warn, "log-lines-lost");
            line.attribute("count", &Value::Int(i64::try_from(lost).unwrap_or(i64::MAX)));
            pending.extend_from_slice(line.finish().as_bytes());
        }
        // There is nobody left to tell of a closed output.
        let _ = self.out.write_all(pending).and_then(|()| self.out.flush());
        pending.clear();
    }
}

#[cfg(test)]
pub mod tests {
    use std::sync::{Mutex, MutexGuard};

    use super::*;

    /// An output that a test can read, and hold up by keeping the guard.
    #[derive(Clone, Default)]
    pub struct Output(Arc<Mutex<Vec<u8>>>);

    impl Output {
        pub fn text(&self) -> String {
            String::from_utf8(self.hold().clone()).expect("the log is UTF-8")
        }

        fn hold(&self) -> MutexGuard<'_, Vec<u8>> {
            self.0.lock().expect("no writer panics")
        }
    }

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.hold().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stalls_loses_lines_and_is_told_how_many() {
        let output = Output::default();
        let writer =
            LineWriter::with_capacity(Box::new(output.clone()), LogFormat::Text, 4).expect("the thread starts");
        writer.write("first\n".into());
        assert!(writer.flush(Duration::from_secs(30)));
        let stalled = output.hold();
        for n in 0..100 {
            writer.write(format!("line {n}\n"));
        }
        assert!(!writer.flush(Duration::from_millis(1)), "the output is held up");
        drop(stalled);
        // The queue was full a moment ago: a flush is refused until the thread has taken from it.
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while !writer.flush(Duration::from_secs(1)) {
            assert!(std::time::Instant::now() < deadline, "the writer never came back");
            std::thread::yield_now();
        }
        writer.write("last\n".into());
        assert!(writer.flush(Duration::from_secs(30)));

        let text = output.text();
        let written = text.lines().filter(|line| line.starts_with("line ")).count();
        let told: usize = text
            .lines()
            .filter_map(|line| line.split_once("WARN log-lines-lost count="))
            .map(|(_, count)| count.parse::<usize>().expect("a number"))
            .sum();
        assert!(told > 0 && written > 0);
        assert_eq!(written + told, 100);
        assert!(text.starts_with("first\n") && text.contains("last\n"));
    }
}
