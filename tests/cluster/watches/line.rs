//! A line between whoever watches and the API server that a test can cut or silence.

use kube::Config;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A way to the API server that can be cut, while it goes on for everybody else.
pub struct Line {
    port: u16,
    server: std::net::SocketAddr,
    task: Option<JoinHandle<()>>,
    /// How often it was silenced.
    silenced: watch::Sender<u32>,
}

impl Line {
    /// A line to the server that `config` names, joined.
    pub async fn new(config: &Config) -> Self {
        let authority = config.cluster_url.authority().unwrap();
        let server = (std::net::Ipv4Addr::LOCALHOST, authority.port_u16().unwrap()).into();
        let mut line = Self { port: 0, server, task: None, silenced: watch::Sender::new(0) };
        line.join().await;
        line
    }

    /// Lets connections through, on the same port as ever.
    pub async fn join(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.port = listener.local_addr().unwrap().port();
        let (server, silenced) = (self.server, self.silenced.clone());
        self.task = Some(tokio::spawn(async move {
            // Ends with the task, and all connections with it.
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let mut silenced = silenced.subscribe();
                connections.spawn(async move {
                    let mut far = TcpStream::connect(server).await?;
                    tokio::select! {
                        ended = tokio::io::copy_bidirectional(&mut near, &mut far) => ended,
                        // Both ends stay open, and nothing comes through any more.
                        Ok(()) = silenced.changed() => std::future::pending().await,
                    }
                });
            }
        }));
    }

    /// Ends every connection and takes no new ones.
    pub async fn cut(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Lets nothing more through on the connections that there are, without ending them. New ones work.
    pub fn silence(&self) {
        self.silenced.send_modify(|times| *times += 1);
    }

    /// Where its near end is, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}
