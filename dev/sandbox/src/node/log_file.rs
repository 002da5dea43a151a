//! The log of one run of a container: lines with timestamps, for any number of followers.
//!
//! A process writes into a named pipe; [`LogFile::copy`] converts its output to lines `TIME stdout F TEXT` (`P` for a part
//! of a line that is too long), the format of container runtimes.

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

/// Longer lines are split, as by container runtimes.
const MAX_LINE: usize = 16 * 1024;
/// Size at which a file is rotated, keeping one older file, as by a kubelet.
const MAX_FILE: u64 = 10 * 1024 * 1024;
/// Size of a read.
const CHUNK: usize = 64 * 1024;
/// Time limit for output after the exit of the process, when only a grandchild can hold the pipe open.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    progress: watch::Sender<Progress>,
}

/// The position of the writer; changes wake the followers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    /// Number of rotations.
    file: u64,
    /// Bytes in the current file.
    length: u64,
    /// Set after the last line.
    closed: bool,
}

/// The part of a log to read.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub follow: bool,
    pub timestamps: bool,
    pub tail_lines: Option<u64>,
    pub since: Option<Timestamp>,
    pub limit_bytes: Option<u64>,
}

impl LogFile {
    /// Creates the log `dir/NUMBER.log`.
    pub fn create(dir: &Path, number: i32) -> io::Result<Arc<Self>> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join(format!("{number}.log"));
        std::fs::File::create(&path)?;
        Ok(Arc::new(Self { path, progress: watch::Sender::new(Progress::default()) }))
    }

    /// Creates the pipe for a process. Reading from the receiver must begin after the process has opened the pipe: a pipe
    /// without a writer is at its end.
    pub fn pipe(&self) -> io::Result<(PathBuf, pipe::Receiver)> {
        let path = self.path.with_extension("pipe");
        let _ = std::fs::remove_file(&path);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR)?;
        let receiver = pipe::OpenOptions::new().open_receiver(&path)?;
        Ok((path, receiver))
    }

    /// Copies the output of the pipe until its end.
    pub async fn copy(self: Arc<Self>, from: impl AsyncRead + Unpin) {
        if let Err(error) = self.try_copy(from).await {
            tracing::warn!(log = %self.path.display(), %error, "cannot write a container's log");
        }
        self.close();
    }

    /// Ends the log for followers.
    pub fn close(&self) {
        self.progress.send_modify(|progress| progress.closed = true);
    }

    /// Deletes the files. Open readers are not affected.
    pub fn delete(&self) {
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_file(self.rotated());
    }

    fn rotated(&self) -> PathBuf {
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
        tokio::fs::rename(&self.path, self.rotated()).await?;
        let file = File::options().create(true).append(true).open(&self.path).await?;
        self.progress.send_modify(|progress| *progress = Progress { file: progress.file + 1, ..Progress::default() });
        Ok(file)
    }

    /// Streams the selected lines.
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

/// Appends `chunk` to the incomplete `line` and passes complete lines (or parts of [`MAX_LINE`]) to `complete`.
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

struct Reader {
    selection: Selection,
    /// Remaining bytes to send.
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
            // Before reading, so that concurrent writes count as changes.
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

    /// Sends the rest of the file. Returns false if the receiver was dropped or the limit is reached.
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

    /// Appends the selected part of a line to `out`.
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
        // Parts of a line have no line break.
        out.extend_from_slice(if tag == b"P" { &text[..text.len() - 1] } else { text });
    }
}

/// Seeks to the beginning of the last `lines` lines.
async fn seek_to_tail(file: &mut File, lines: u64) -> io::Result<()> {
    let end = file.seek(io::SeekFrom::End(0)).await?;
    let (mut at, mut line_breaks) = (end, 0);
    let mut buffer = vec![0; CHUNK];
    while at > 0 {
        let size = at.min(CHUNK as u64);
        at -= size;
        let chunk = &mut buffer[..usize::try_from(size).expect("a chunk's size fits")];
        file.seek(io::SeekFrom::Start(at)).await?;
        file.read_exact(chunk).await?;
        for (index, _) in chunk.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            // The last `lines` lines are preceded by one more line break.
            line_breaks += 1;
            if line_breaks > lines {
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
