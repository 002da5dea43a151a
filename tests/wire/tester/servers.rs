//! VIPs with several backends: servers that choose an answer for each flow. Each ends when it is dropped.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
};

/// Chooses the bytes of the answer to the flow with this number, from 0; `None` is no answer.
type Answers = Arc<dyn Fn(usize) -> Option<Vec<u8>> + Send + Sync>;

pub struct VipServer {
    pub address: SocketAddr,
    peers: Arc<Mutex<Vec<SocketAddr>>>,
    _tasks: JoinSet<()>,
}

impl VipServer {
    /// The addresses of the clients, one per flow.
    pub fn peers(&self) -> Vec<SocketAddr> {
        self.peers.lock().unwrap().clone()
    }

    /// The URL of the server.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    /// A TCP server that answers after an empty line. Closes first only after a request for `/close`.
    pub async fn http(answers: impl Fn(usize) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::tcp(answers, true).await
    }

    /// A TCP server that answers at once, and never closes first.
    pub async fn banner(answers: impl Fn(usize) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::tcp(answers, false).await
    }

    async fn tcp(answers: impl Fn(usize) -> Option<Vec<u8>> + Send + Sync + 'static, reads_head: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (peers, answers) = (Arc::new(Mutex::new(vec![])), Arc::new(answers));
        let (mut tasks, accepted) = (JoinSet::new(), Arc::clone(&peers));
        tasks.spawn(async move {
            let mut flows = JoinSet::new();
            while let Ok((stream, peer)) = listener.accept().await {
                let number = {
                    let mut peers = accepted.lock().unwrap();
                    peers.push(peer);
                    peers.len() - 1
                };
                flows.spawn(answer(stream, number, Arc::clone(&answers) as Answers, reads_head));
                while flows.try_join_next().is_some() {}
            }
        });
        Self { address, peers, _tasks: tasks }
    }

    /// A UDP server. With `other_port`, answers come from another port.
    pub async fn udp(answers: impl Fn(usize) -> Option<Vec<u8>> + Send + Sync + 'static, other_port: bool) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let peers = Arc::new(Mutex::new(vec![]));
        let (mut tasks, received) = (JoinSet::new(), Arc::clone(&peers));
        tasks.spawn(async move {
            let mut buffer = [0; 2048];
            let mut number = 0;
            loop {
                // An ICMP error of an earlier answer is no reason to end.
                let Ok((_, peer)) = socket.recv_from(&mut buffer).await else { continue };
                received.lock().unwrap().push(peer);
                if let Some(answer) = answers(number) {
                    let from = if other_port { &other } else { &socket };
                    let _ = from.send_to(&answer, peer).await;
                }
                number += 1;
            }
        });
        Self { address, peers, _tasks: tasks }
    }
}

async fn answer(mut stream: TcpStream, number: usize, answers: Answers, reads_head: bool) {
    let mut received = vec![];
    while reads_head && !received.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => received.push(byte),
            Err(_) => return,
        }
    }
    if let Some(answer) = answers(number)
        && stream.write_all(&answer).await.is_err()
    {
        return;
    }
    if received.starts_with(b"GET /close ") {
        let _ = stream.shutdown().await;
    }
    // Ends with the client.
    while let Ok(1..) = stream.read(&mut [0; 1024]).await {}
}

/// A response with status 200 and this body.
pub fn response(body: &str) -> Option<Vec<u8>> {
    respond("200 OK", body)
}

/// A response with this status and body.
pub fn respond(status: &str, body: &str) -> Option<Vec<u8>> {
    Some(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
}
