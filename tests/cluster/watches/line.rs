//! A line between an agent and the API server that a test can cut.

use kube::Config;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A way to the API server that can be cut, while it goes on for everybody else.
pub(super) struct Line {
    port: u16,
    server: std::net::SocketAddr,
    task: Option<JoinHandle<()>>,
}

impl Line {
    /// A line to the server that `config` names, joined.
    pub(super) async fn new(config: &Config) -> Self {
        let authority = config.cluster_url.authority().unwrap();
        let server = (std::net::Ipv4Addr::LOCALHOST, authority.port_u16().unwrap()).into();
        let mut line = Self { port: 0, server, task: None };
        line.join().await;
        line
    }

    /// Lets connections through, on the same port as ever.
    pub(super) async fn join(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.port = listener.local_addr().unwrap().port();
        let server = self.server;
        self.task = Some(tokio::spawn(async move {
            // Ends with the task, and all connections with it.
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                connections.spawn(async move {
                    let mut far = TcpStream::connect(server).await?;
                    tokio::io::copy_bidirectional(&mut near, &mut far).await
                });
            }
        }));
    }

    /// Ends every connection and takes no new ones.
    pub(super) async fn cut(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Where its near end is, on 127.0.0.1.
    pub(super) fn port(&self) -> u16 {
        self.port
    }
}
