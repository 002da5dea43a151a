//! A client's connection that stays open, with a known port, node and backend.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};

use crate::lab::{LIMIT, Lab, TCP, first_word};

/// An HTTP connection to a VIP.
pub struct Connection {
    /// The client's port.
    pub port: u16,
    /// The node whose VPP has the flow in its sticky table.
    pub node: usize,
    /// The backend of the first response.
    pub backend: String,
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Opens a connection from `port`, while no other flow to the VIP begins.
    pub async fn open(lab: &Lab, vip: SocketAddr, port: u16) -> Self {
        let new_flows = async || {
            let mut flows = Vec::new();
            for vpp in &lab.vpps {
                flows.push(vpp.packets(vip, TCP).await.first);
            }
            flows
        };
        let bind = move || {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind((Ipv4Addr::UNSPECIFIED, port).into())?;
            Ok(socket)
        };
        let before = new_flows().await;
        let stream = lab.in_client(bind).await.unwrap().connect(vip).await.unwrap();
        let mut connection = Self { port, node: 0, backend: String::new(), stream: BufReader::new(stream) };
        connection.backend = connection.request().await.unwrap();
        let added: Vec<_> = before.into_iter().zip(new_flows().await).map(|(before, after)| after - before).collect();
        assert_eq!(added.iter().sum::<u64>(), 1, "one new flow on one node: {added:?}");
        connection.node = added.iter().position(|added| *added == 1).unwrap();
        connection
    }

    /// Opens a connection from each of `ports`.
    pub async fn open_all(lab: &Lab, vip: SocketAddr, ports: impl IntoIterator<Item = u16>) -> Vec<Self> {
        let mut connections = Vec::new();
        for port in ports {
            connections.push(Self::open(lab, vip, port).await);
        }
        connections
    }

    /// The backend that answers a request.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn request(&mut self) -> io::Result<String> {
        tokio::time::timeout(LIMIT, self.exchange()).await.expect("a response or a broken connection")
    }

    /// True if the backend of the connection answers a request; false if the connection is broken.
    pub async fn is_alive(&mut self) -> bool {
        match self.request().await {
            Ok(backend) => {
                assert_eq!(backend, self.backend, "a connection does not change its backend");
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
                false
            }
        }
    }

    async fn exchange(&mut self) -> io::Result<String> {
        self.stream.write_all(b"GET / HTTP/1.1\r\nHost: vip\r\n\r\n").await?;
        let mut length = None;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().ok(),
                None if line == "\r\n" => break,
                _ => {}
            }
        }
        let mut body = vec![0; length.expect("a response with its length")];
        self.stream.read_exact(&mut body).await?;
        Ok(first_word(&String::from_utf8_lossy(&body)))
    }
}

/// The backend of a new flow with the addresses and ports of a connection. A VIP for UDP must exist beside that for TCP, with the
/// same servers: the bucket of a flow does not depend on its protocol.
pub async fn backend_of_bucket(lab: &Lab, vip: SocketAddr, port: u16) -> String {
    first_word(&lab.datagram(vip, port).await.unwrap())
}
