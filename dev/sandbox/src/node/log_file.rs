//! The log of one run of a container: written line by line with the time, read by any number of followers.
//!
//! A process writes into a named pipe; [`LogFile::copy`] turns what comes out into lines `TIME stdout F TEXT` (`P` for a part of a line
//! that is too long), the format in which container runtimes keep logs.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use k8s_openapi::jiff::Timestamp;
use tokio::{
    fs::File,
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader},
    net::unix::pipe,
    sync::{mpsc, watch},
};

/// A longer line is kept in parts, as container runtimes do.
const MAX_LINE: usize = 16 * 1024;
/// A file of this size is put aside (and replaces the one put aside before), as a kubelet does.
const MAX_FILE: u64 = 10 * 1024 * 1024;
/// How much is read from a file at once.
const CHUNK: usize = 64 * 1024;
/// How long output may follow after the process has ended; only a grandchild can hold the pipe open then.
pub const LAST_WORDS: Duration = Duration::from_secs(1);

/// One run's log.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    progress: watch::Sender<Progress>,
}

/// How far the writer is; changes wake the followers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    /// Counts the files: a new one begins after [`MAX_FILE`].
    file: u64,
    /// Bytes in the present file.
    length: u64,
    /// Nothing more will come.
    closed: bool,
}

/// What to read of a log.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub follow: bool,
    pub timestamps: bool,
    pub tail_lines: Option<u64>,
    pub since: Option<Timestamp>,
    pub limit_bytes: Option<u64>,
}

impl LogFile {
    /// Begins the log `dir/NUMBER.log`.
    pub fn create(dir: &Path, number: i32) -> io::Result<Arc<Self>> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join(format!("{number}.log"));
        std::fs::File::create(&path)?;
        Ok(Arc::new(Self { path, progress: watch::Sender::new(Progress::default()) }))
    }

    /// Makes the pipe for a process to write into, and the end to read from. Reading must begin only once the process has opened it: a pipe
    /// without a writer looks ended.
    pub fn pipe(&self) -> io::Result<(PathBuf, pipe::Receiver)> {
        let path = self.path.with_extension("pipe");
        let _ = std::fs::remove_file(&path);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR)?;
        let receiver = pipe::OpenOptions::new().open_receiver(&path)?;
        Ok((path, receiver))
    }

    /// Writes what comes out of the pipe until it ends.
    pub async fn copy(self: Arc<Self>, from: impl AsyncRead + Unpin) {
        if let Err(error) = self.try_copy(from).await {
            tracing::warn!(log = %self.path.display(), %error, "could not write a container's log");
        }
        self.close();
    }

    /// Tells followers that nothing more will come.
    pub fn close(&self) {
        self.progress.send_modify(|progress| progress.closed = true);
    }

    /// Deletes the files; who reads them now may read on.
    pub fn delete(&self) {
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_file(self.aside());
    }

    fn aside(&self) -> PathBuf {
        self.path.with_extension("log.1")
    }

    async fn try_copy(&self, from: impl AsyncRead + Unpin) -> io::Result<()> {
        let mut from = BufReader::with_capacity(CHUNK, from);
        let mut to = File::options().append(true).open(&self.path).await?;
        let (mut line, mut out) = (Vec::new(), Vec::new());
        loop {
            let chunk = from.fill_buf().await?;
            let (read, ended) = (chunk.len(), chunk.is_empty());
            split_lines(&mut line, chunk, |text, whole| write_line(&mut out, text, whole));
            if ended && !line.is_empty() {
                write_line(&mut out, &line, true);
            }
            from.consume(read);
            to.write_all(&out).await?;
            to.flush().await?;
            self.progress.send_modify(|progress| progress.length += out.len() as u64);
            out.clear();
            if ended {
                return Ok(());
            }
            if self.progress.borrow().length >= MAX_FILE {
                to = self.next_file().await?;
            }
        }
    }

    async fn next_file(&self) -> io::Result<File> {
        tokio::fs::rename(&self.path, self.aside()).await?;
        let file = File::options().create(true).append(true).open(&self.path).await?;
        self.progress.send_modify(|progress| *progress = Progress { file: progress.file + 1, ..Progress::default() });
        Ok(file)
    }

    /// The selected lines, as they come.
    pub fn read(self: Arc<Self>, selection: Selection) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let (chunk_tx, chunk_rx) = mpsc::channel(16);
        tokio::spawn(async move {
            let mut reader = Reader { limit: selection.limit_bytes, selection, chunk_tx };
            if let Err(error) = reader.run(&self).await {
                let _ = reader.chunk_tx.send(Err(error)).await;
            }
        });
        futures::stream::unfold(chunk_rx, |mut rx| async move { rx.recv().await.map(|chunk| (chunk, rx)) })
    }
}

/// Adds `chunk` to the unfinished `line` and hands out every line (or full part) that is complete.
fn split_lines(line: &mut Vec<u8>, chunk: &[u8], mut complete: impl FnMut(&[u8], bool)) {
    for byte in chunk {
        let whole = *byte == b'\n';
        if !whole {
            line.push(*byte);
        }
        if whole || line.len() == MAX_LINE {
            complete(line, whole);
            line.clear();
        }
    }
}

fn write_line(out: &mut Vec<u8>, text: &[u8], whole: bool) {
    out.extend_from_slice(format!("{:.9} stdout {} ", Timestamp::now(), if whole { 'F' } else { 'P' }).as_bytes());
    out.extend_from_slice(text);
    out.push(b'\n');
}

/// One reader of a log.
struct Reader {
    selection: Selection,
    /// Bytes that may still be sent.
    limit: Option<u64>,
    chunk_tx: mpsc::Sender<io::Result<Bytes>>,
}

impl Reader {
    async fn run(&mut self, log: &LogFile) -> io::Result<()> {
        let mut progress_rx = log.progress.subscribe();
        let mut number = progress_rx.borrow().file;
        let mut file = File::open(&log.path).await?;
        if let Some(lines) = self.selection.tail_lines {
            seek_to_tail(&mut file, lines).await?;
        }
        let mut rest = BytesMut::new();
        loop {
            // Looked at before reading: what is written meanwhile shows as a change.
            let progress = *progress_rx.borrow_and_update();
            if !self.read_to_end(&mut file, &mut rest).await? {
                return Ok(());
            }
            if progress.file != number {
                (number, file) = (progress.file, File::open(&log.path).await?);
                continue;
            }
            if progress.closed || !self.selection.follow {
                return Ok(());
            }
            tokio::select! {
                _ = progress_rx.changed() => {}
                () = self.chunk_tx.closed() => return Ok(()),
            }
        }
    }

    /// Sends everything up to the end of the file; false when the receiver is gone or the limit is reached.
    async fn read_to_end(&mut self, file: &mut File, rest: &mut BytesMut) -> io::Result<bool> {
        loop {
            rest.reserve(CHUNK);
            if file.read_buf(rest).await? == 0 {
                return Ok(true);
            }
            let mut out = Vec::new();
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                self.select(&rest.split_to(end + 1), &mut out);
            }
            if let Some(limit) = &mut self.limit {
                out.truncate(usize::try_from(*limit).unwrap_or(usize::MAX));
                *limit -= out.len() as u64;
            }
            if !out.is_empty() && self.chunk_tx.send(Ok(out.into())).await.is_err() || self.limit == Some(0) {
                return Ok(false);
            }
        }
    }

    /// Turns a line of the file into what the reader asked for.
    fn select(&self, line: &[u8], out: &mut Vec<u8>) {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let (Some(time), Some(_stream), Some(tag), Some(text)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return;
        };
        if let Some(since) = self.selection.since {
            let time = str::from_utf8(time).ok().and_then(|time| time.parse::<Timestamp>().ok());
            if time.is_none_or(|time| time < since) {
                return;
            }
        }
        if self.selection.timestamps {
            out.extend_from_slice(time);
            out.push(b' ');
        }
        // A part of a line goes without the line's end.
        out.extend_from_slice(if tag == b"P" { &text[..text.len() - 1] } else { text });
    }
}

/// Puts the file's position at the beginning of its last `lines` lines.
async fn seek_to_tail(file: &mut File, lines: u64) -> io::Result<()> {
    let end = file.seek(io::SeekFrom::End(0)).await?;
    let (mut at, mut seen) = (end, 0);
    let mut buffer = vec![0; CHUNK];
    while at > 0 {
        let size = at.min(CHUNK as u64);
        at -= size;
        let chunk = &mut buffer[..usize::try_from(size).expect("a chunk's size fits")];
        file.seek(io::SeekFrom::Start(at)).await?;
        file.read_exact(chunk).await?;
        for (index, _) in chunk.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            // The line's end before the wanted lines: one more than there are wanted.
            seen += 1;
            if seen > lines {
                file.seek(io::SeekFrom::Start(at + index as u64 + 1)).await?;
                return Ok(());
            }
        }
    }
    file.seek(io::SeekFrom::Start(if lines == 0 { end } else { 0 })).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
