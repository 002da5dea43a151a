//! The clients, in a separate process: they read bytes, find the times of events and count.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::ensure;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use maglev_benches::counting_process::{self, CountingProcess};

/// The argument that makes this program the process of the clients.
const ROLE: &str = "--read";
/// Precedes the time of an event. Occurs nowhere else in the data of the servers.
const TIME_MARK: u8 = b'@';
const TIME_DIGITS: usize = 19;
/// Receive buffer in bytes of a client that does not read.
const SLOW_BUFFER: u32 = 4096;

/// The text of an event emitted now, of `bytes` bytes.
pub fn text(bytes: usize) -> String {
    let mut text = format!("@{:019}", now());
    text.extend(std::iter::repeat_n('x', bytes.saturating_sub(text.len())));
    text
}

/// Nanoseconds since the Unix epoch.
fn now() -> u64 {
    let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

/// The counts of all clients together; latencies in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    pub delivered: u64,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// The process of the clients.
pub struct Clients(CountingProcess);

impl Clients {
    /// Starts `count` clients that read and `slow` clients that do not, and waits until each has a response status.
    pub async fn start(address: SocketAddr, path: &str, count: usize, slow: usize) -> anyhow::Result<Self> {
        let (address, count, slow) = (address.to_string(), count.to_string(), slow.to_string());
        Ok(Self(CountingProcess::start(&[ROLE, &address, path, &count, &slow]).await?))
    }

    /// Resets the counts.
    pub async fn reset(&mut self) -> anyhow::Result<()> {
        self.counts().await.map(drop)
    }

    /// The counts since the last call.
    pub async fn counts(&mut self) -> anyhow::Result<Counted> {
        let [delivered, p50, p99, max] = self.0.counts::<f64, 4>().await?;
        Ok(Counted { delivered: delivered as u64, p50, p99, max })
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        self.0.stop().await
    }
}

/// Runs the process of the clients if the arguments request that.
pub fn run_if_requested(arguments: &[String]) -> Option<anyhow::Result<()>> {
    let [role, address, path, count, slow] = arguments else { return None };
    (role == ROLE).then(|| counting_process::run(read(address.parse()?, path, count.parse()?, slow.parse()?)))
}

async fn read(address: SocketAddr, path: &str, count: usize, slow: usize) -> anyhow::Result<()> {
    let latencies: Arc<Mutex<Vec<u32>>> = Arc::default();
    for _ in 0..count {
        let stream = open(address, path, None).await?;
        tokio::spawn(follow(stream, Arc::clone(&latencies)));
    }
    let mut idle = Vec::new();
    for _ in 0..slow {
        idle.push(open(address, path, Some(SLOW_BUFFER)).await?);
    }
    counting_process::serve(|| {
        let mut taken = std::mem::take(&mut *latencies.lock());
        taken.sort_unstable();
        let percentile = |fraction: f64| {
            let index = (taken.len().saturating_sub(1) as f64 * fraction) as usize;
            f64::from(taken.get(index).copied().unwrap_or(0)) / 1000.0
        };
        vec![taken.len() as f64, percentile(0.5), percentile(0.99), percentile(1.0)]
    })
    .await;
    Ok(())
}

/// Sends the request and reads the status of the response.
async fn open(address: SocketAddr, path: &str, receive_buffer: Option<u32>) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    let mut stream = socket.connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = [0; 12];
    tokio::time::timeout(Duration::from_secs(30), stream.read_exact(&mut head)).await??;
    ensure!(&head == b"HTTP/1.1 200", "{}", String::from_utf8_lossy(&head));
    Ok(stream)
}

/// Reads until the end of the stream and records the latency of each event in microseconds.
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
        while let Some(at) = buffer[from..end].iter().position(|byte| *byte == TIME_MARK) {
            let begin = from + at;
            if begin + 1 + TIME_DIGITS > end {
                // The remaining digits arrive with the next bytes.
                buffer.copy_within(begin..end, 0);
                filled = end - begin;
                break;
            }
            from = begin + 1 + TIME_DIGITS;
            let digits = std::str::from_utf8(&buffer[begin + 1..from]).unwrap_or_default();
            let Ok(emitted) = digits.parse::<u64>() else { continue };
            let micros = u32::try_from(now.saturating_sub(emitted) / 1000).unwrap_or(u32::MAX);
            latencies.lock().push(micros);
        }
    }
}
