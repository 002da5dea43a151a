//! The pages, in a process of their own: they read bytes, find the times of events in them, and count.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::ensure;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use maglev_benches::counting::{self, Counting};

/// The argument that makes a process one of clients.
const ASKED: &str = "--read";
/// Stands before the time of an event, which has so many digits. It is nowhere else in what servers send.
const MARK: u8 = b'@';
const DIGITS: usize = 19;
/// What a client that does not read takes.
const SMALL: u32 = 4096;

/// The text of an event that happens now, of so many bytes.
pub fn text(bytes: usize) -> String {
    let mut text = format!("@{:019}", now());
    text.extend(std::iter::repeat_n('x', bytes.saturating_sub(text.len())));
    text
}

/// Nanoseconds since the epoch.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// What all clients together have counted; latencies in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    pub delivered: u64,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// The process of the clients.
pub struct Clients(Counting);

impl Clients {
    /// Starts `count` that read and `slow` that do not, and waits until each has the head of its answer.
    pub async fn start(address: SocketAddr, path: &str, count: usize, slow: usize) -> anyhow::Result<Self> {
        let (address, count, slow) = (address.to_string(), count.to_string(), slow.to_string());
        Ok(Self(Counting::start(&[ASKED, &address, path, &count, &slow]).await?))
    }

    /// Counts from now on.
    pub async fn begin(&mut self) -> anyhow::Result<()> {
        self.counted().await.map(drop)
    }

    /// What they have counted since the last time.
    pub async fn counted(&mut self) -> anyhow::Result<Counted> {
        let [delivered, p50, p99, max] = self.0.numbers::<f64, 4>().await?;
        Ok(Counted { delivered: delivered as u64, p50, p99, max })
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        self.0.stop().await
    }
}

/// Is that process, if the arguments say so.
pub fn read_if_asked(arguments: &[String]) -> Option<anyhow::Result<()>> {
    let [asked, address, path, count, slow] = arguments else { return None };
    (asked == ASKED).then(|| counting::run(read(address.parse()?, path, count.parse()?, slow.parse()?)))
}

async fn read(address: SocketAddr, path: &str, count: usize, slow: usize) -> anyhow::Result<()> {
    let latencies: Arc<Mutex<Vec<u32>>> = Arc::default();
    for _ in 0..count {
        let stream = open(address, path, None).await?;
        tokio::spawn(follow(stream, Arc::clone(&latencies)));
    }
    let mut silent = Vec::new();
    for _ in 0..slow {
        silent.push(open(address, path, Some(SMALL)).await?);
    }
    counting::answer(|| {
        let mut taken = std::mem::take(&mut *latencies.lock().unwrap_or_else(PoisonError::into_inner));
        taken.sort_unstable();
        let at = |share: f64| {
            let index = (taken.len().saturating_sub(1) as f64 * share) as usize;
            f64::from(taken.get(index).copied().unwrap_or(0)) / 1000.0
        };
        vec![taken.len() as f64, at(0.5), at(0.99), at(1.0)]
    })
    .await;
    Ok(())
}

/// Asks, and reads the head of the answer.
async fn open(address: SocketAddr, path: &str, takes: Option<u32>) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = takes {
        socket.set_recv_buffer_size(bytes)?;
    }
    let mut stream = socket.connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = [0; 12];
    tokio::time::timeout(Duration::from_secs(30), stream.read_exact(&mut head)).await??;
    ensure!(&head == b"HTTP/1.1 200", "{}", String::from_utf8_lossy(&head));
    Ok(stream)
}

/// Reads until the end; how long each event took, in microseconds.
async fn follow(mut stream: TcpStream, latencies: Arc<Mutex<Vec<u32>>>) {
    let (mut buffer, mut filled) = (vec![0; 64 << 10], 0);
    while let Ok(read) = stream.read(&mut buffer[filled..]).await {
        if read == 0 {
            return;
        }
        let end = filled + read;
        let now = now();
        let mut from = 0;
        filled = 0;
        while let Some(at) = buffer[from..end].iter().position(|byte| *byte == MARK) {
            let begin = from + at;
            if begin + 1 + DIGITS > end {
                // The rest of it comes with the next bytes.
                buffer.copy_within(begin..end, 0);
                filled = end - begin;
                break;
            }
            from = begin + 1 + DIGITS;
            let digits = std::str::from_utf8(&buffer[begin + 1..from]).unwrap_or_default();
            let Ok(emitted) = digits.parse::<u64>() else { continue };
            let micros = u32::try_from(now.saturating_sub(emitted) / 1000).unwrap_or(u32::MAX);
            latencies.lock().unwrap_or_else(PoisonError::into_inner).push(micros);
        }
    }
}
