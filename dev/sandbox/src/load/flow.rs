//! One flow: a connection with requests at a fixed pace, opened again after it breaks.

use std::{net::SocketAddr, rc::Rc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, timeout};

use maglev_net::error_chain;

use super::tally::Tally;
use crate::demo_backend::BACKEND_HEADER;

/// Time limit for a connection and for a response.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Times of the requests of one flow.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub first: Instant,
    pub pause: Duration,
}

pub struct Flow {
    vip: SocketAddr,
    tally: Rc<Tally>,
    /// The open connection, and the backend of its first response.
    connection: Option<Connection>,
}

struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    backend: Option<String>,
}

type Failure = Box<dyn std::error::Error>;

impl Flow {
    pub fn new(vip: SocketAddr, tally: Rc<Tally>) -> Self {
        Self { vip, tally, connection: None }
    }

    /// Sends requests until it is aborted.
    pub async fn run(mut self, pace: Pace) {
        let mut due = tokio::time::interval_at(pace.first, pace.pause.max(Duration::from_millis(1)));
        due.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            due.tick().await;
            let result = timeout(TIMEOUT, self.request()).await;
            if let Err(error) = result.unwrap_or_else(|_| Err("no response within 10 s".into())) {
                let backend = self.connection.take().and_then(|connection| connection.backend);
                self.tally.broken(backend.as_deref(), error_chain(&*error));
            }
        }
    }

    async fn request(&mut self) -> Result<(), Failure> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(Connection::open(self.vip).await?),
        };
        let start = Instant::now();
        let request = http::Request::get("/").header(http::header::HOST, self.vip.to_string()).body(Empty::new())?;
        let response = connection.sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        body.collect().await?;
        let backend = head.headers.get(BACKEND_HEADER).and_then(|name| name.to_str().ok()).unwrap_or("(unknown)");
        let is_first = connection.backend.is_none();
        self.tally.response(backend, is_first, head.status == http::StatusCode::OK, start.elapsed());
        if is_first {
            connection.backend = Some(backend.to_owned());
        }
        Ok(())
    }
}

impl Connection {
    async fn open(vip: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(vip).await?;
        stream.set_nodelay(true)?;
        // No port stays in TIME_WAIT when a load ends.
        stream.set_zero_linger()?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(async move {
            // The sender reports errors.
            let _ = connection.await;
        });
        Ok(Self { sender, backend: None })
    }
}
