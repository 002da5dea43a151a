//! One flow: opens a socket, sends a request, reads the answer, closes. Each flow has a socket of its own, so a source port
//! of its own, which load balancers hash.
//!
//! A TCP connection ends with a reset (`SO_LINGER` 0) once the answer is complete. A FIN of the client would leave the
//! client's socket in TIME_WAIT for a minute, and a thousand flows per second would use up the ports; a FIN of the server
//! would leave the same on the backend. No data is lost, because the answer has been received.

mod http_exchange;
mod socket;
mod tcp;
mod tls;
mod udp;
mod unclosed;

use std::{net::SocketAddr, time::Duration};

use http::HeaderValue;
use rustls::pki_types::ServerName;
use tokio::{
    net::TcpStream,
    time::{Instant, error::Elapsed, timeout_at},
};

pub use self::tls::{TlsError, TlsSettings};
use super::{
    answer::BackendMatcher,
    vip::{Scheme, Vip},
};

/// The maximum number of bytes of an answer that are searched for the backend's name.
const SEARCHED: usize = 64 * 1024;

/// A VIP with its resolved address.
#[derive(Clone, Debug)]
pub struct Target {
    pub vip: Vip,
    pub address: SocketAddr,
    /// The value of the header `Host`.
    pub host: HeaderValue,
    /// The name in SNI and in the certificate.
    pub server_name: ServerName<'static>,
}

/// The reason of a flow without success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// This machine could not send: no statement about the VIP.
    NotSent(String),
    /// The path, the load balancer or the backend failed.
    Failed(String),
}

/// A successful flow, or an answer that reports an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The name of the backend, if the answer has it.
    pub backend: Option<String>,
    /// The error in the answer, such as an HTTP status.
    pub error: Option<String>,
}

/// A flow that has ended.
#[derive(Clone, Debug)]
pub struct FinishedFlow {
    pub began: Instant,
    pub ended: Instant,
    pub result: Result<Answer, Failure>,
}

/// Runs flows.
#[derive(Clone, Debug)]
pub struct FlowClient {
    pub matcher: BackendMatcher,
    pub tls: TlsSettings,
    /// The time limit of a flow, from the first packet to the complete answer.
    pub timeout: Duration,
    /// Sent to TCP and UDP servers.
    pub payload: Option<Vec<u8>>,
    pub user_agent: HeaderValue,
}

impl FlowClient {
    /// Runs one flow.
    pub async fn run(&self, target: &Target) -> FinishedFlow {
        let began = Instant::now();
        let limit = Limit { end: began + self.timeout, timeout: self.timeout };
        let result = match target.vip.scheme {
            Scheme::Udp => udp::exchange(self, target, limit).await,
            Scheme::Tcp => self.tcp(target, limit).await,
            Scheme::Http => self.http(target, limit).await,
            Scheme::Https => self.https(target, limit).await,
        };
        FinishedFlow { began, ended: Instant::now(), result }
    }

    async fn tcp(&self, target: &Target, limit: Limit) -> Result<Answer, Failure> {
        let stream = connect(target, limit).await?;
        if self.payload.is_none() && !self.matcher.has_explicit_pattern() {
            // Many servers wait for the client: an established connection is the success.
            return Ok(Answer::default());
        }
        tcp::exchange(self, stream, limit).await
    }

    async fn http(&self, target: &Target, limit: Limit) -> Result<Answer, Failure> {
        let stream = connect(target, limit).await?;
        Box::pin(http_exchange::exchange(self, target, stream, limit)).await
    }

    async fn https(&self, target: &Target, limit: Limit) -> Result<Answer, Failure> {
        let stream = connect(target, limit).await?;
        let handshake = self.tls.connect(target.server_name.clone(), stream);
        let stream = limit.phase("no TLS handshake", handshake).await?;
        let stream = stream.map_err(|error| Failure::Failed(format!("TLS handshake failed: {error}")))?;
        Box::pin(http_exchange::exchange(self, target, stream, limit)).await
    }
}

async fn connect(target: &Target, limit: Limit) -> Result<TcpStream, Failure> {
    let stream = limit.phase("no connection", socket::connect(target.address)).await?;
    stream.map_err(|error| socket::failure("cannot connect", &error))
}

/// The time limit of a flow.
#[derive(Clone, Copy, Debug)]
struct Limit {
    end: Instant,
    timeout: Duration,
}

impl Limit {
    /// Awaits a phase; `missing` names its result in the error of a timeout.
    async fn phase<T>(self, missing: &str, phase: impl Future<Output = T>) -> Result<T, Failure> {
        timeout_at(self.end, phase).await.map_err(|_: Elapsed| self.expired(missing))
    }

    fn expired(self, missing: &str) -> Failure {
        Failure::Failed(format!("{missing} within {:?}", self.timeout))
    }
}
