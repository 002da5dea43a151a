//! A TCP proxy in front of the API server that a test can close or stall.

use kube::Config;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A proxy for one test's clients. Other clients connect to the API server directly.
pub struct TcpProxy {
    port: u16,
    server: std::net::SocketAddr,
    task: Option<JoinHandle<()>>,
    /// Number of calls of [`TcpProxy::stall`].
    stalls: watch::Sender<u32>,
}

impl TcpProxy {
    /// Starts an open proxy to the server of `config`.
    pub async fn start(config: &Config) -> Self {
        let authority = config.cluster_url.authority().unwrap();
        let server = (std::net::Ipv4Addr::LOCALHOST, authority.port_u16().unwrap()).into();
        let mut proxy = Self { port: 0, server, task: None, stalls: watch::Sender::new(0) };
        proxy.open().await;
        proxy
    }

    /// Accepts connections, after the first call on the same port.
    pub async fn open(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.port = listener.local_addr().unwrap().port();
        let (server, stalls) = (self.server, self.stalls.clone());
        self.task = Some(tokio::spawn(async move {
            // All connections end with the task.
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let mut stalls_rx = stalls.subscribe();
                connections.spawn(async move {
                    let mut far = TcpStream::connect(server).await?;
                    tokio::select! {
                        ended = tokio::io::copy_bidirectional(&mut near, &mut far) => ended,
                        // Both connections stay open without forwarding anything.
                        Ok(()) = stalls_rx.changed() => std::future::pending().await,
                    }
                });
            }
        }));
    }

    /// Ends every connection and accepts no new ones.
    pub async fn close(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Stops forwarding on the existing connections without ending them. New connections work.
    pub fn stall(&self) {
        self.stalls.send_modify(|count| *count += 1);
    }

    /// Port of the proxy on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}
