//! The health servers of all Nodes: one listener for all addresses of 127.0.0.0/8, which counts.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

pub struct HealthServer {
    port: u16,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    nodes: Mutex<BTreeSet<IpAddr>>,
}

impl HealthServer {
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("0.0.0.0:0").await?;
        let (port, counts) = (listener.local_addr()?.port(), Arc::<Counts>::default());
        let server_counts = Arc::clone(&counts);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(respond(stream, Arc::clone(&server_counts)));
            }
        });
        Ok(Self { port, counts })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Number of requests so far.
    pub fn requests(&self) -> u64 {
        self.counts.requests.load(Relaxed)
    }

    /// Number of addresses that were requested.
    pub fn nodes(&self) -> usize {
        self.counts.nodes.lock().len()
    }
}

/// Reads the head of a request and responds.
async fn respond(mut stream: TcpStream, counts: Arc<Counts>) {
    let mut head = [0; 1024];
    let mut length = 0;
    while !head[..length].ends_with(b"\r\n\r\n") {
        match stream.read(&mut head[length..]).await {
            Ok(more) if more > 0 => length += more,
            _ => return,
        }
    }
    counts.requests.fetch_add(1, Relaxed);
    if let Ok(address) = stream.local_addr() {
        counts.nodes.lock().insert(address.ip());
    }
    if stream.write_all(RESPONSE).await.is_ok() {
        let _ = stream.shutdown().await;
    }
}
