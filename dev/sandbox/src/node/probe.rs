//! Startup, readiness and liveness probes of a container.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use k8s_openapi::{
    api::core::v1::{Container, HTTPGetAction, Probe},
    apimachinery::pkg::util::intstr::IntOrString,
};
use tokio::{net::TcpStream, sync::mpsc};

use super::config_error::ConfigError;
use crate::packets::Namespace;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Delays the other probes until its first success.
    Startup,
    /// Decides if the container gets traffic.
    Readiness,
    /// Restarts the container on failure.
    Liveness,
}

/// A change of a probe's result, after its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeChange {
    pub purpose: Purpose,
    pub healthy: bool,
}

/// Counts consecutive equal results.
#[derive(Debug)]
struct Threshold {
    success: i32,
    failure: i32,
    last: bool,
    run: i32,
    healthy: Option<bool>,
}

impl Threshold {
    const fn new(success: i32, failure: i32) -> Self {
        Self { success, failure, last: false, run: 0, healthy: None }
    }

    /// Returns the new state if this result changes it.
    fn record(&mut self, ok: bool) -> Option<bool> {
        self.run = if self.last == ok { self.run.saturating_add(1) } else { 1 };
        self.last = ok;
        let needed = if ok { self.success } else { self.failure };
        (self.run >= needed && self.healthy != Some(ok)).then(|| *self.healthy.insert(ok))
    }
}

#[derive(Clone, Debug)]
enum Check {
    Tcp(SocketAddr),
    Http { address: SocketAddr, path: String, headers: Vec<(String, String)> },
}

#[derive(Clone, Debug)]
pub struct Prober {
    purpose: Purpose,
    check: Check,
    namespace: Option<Namespace>,
    initial_delay: Duration,
    period: Duration,
    timeout: Duration,
    success: i32,
    failure: i32,
}

impl Prober {
    /// Creates a prober for `container`, whose pod has the address `ip`.
    ///
    /// # Errors
    /// The kind of the probe is not supported, or the container has no port of the given name.
    pub fn new(purpose: Purpose, probe: &Probe, container: &Container, ip: IpAddr) -> Result<Self, ConfigError> {
        let seconds = |value: Option<i32>, default: u64| {
            Duration::from_secs(value.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(default))
        };
        Ok(Self {
            purpose,
            check: Check::new(probe, container, ip)?,
            namespace: None,
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10).max(Duration::from_secs(1)),
            timeout: seconds(probe.timeout_seconds, 1).max(Duration::from_secs(1)),
            success: probe.success_threshold.unwrap_or(1),
            failure: probe.failure_threshold.unwrap_or(3),
        })
    }

    /// Probes from inside a network namespace; `None` for the host's.
    pub fn in_namespace(self, namespace: Option<Namespace>) -> Self {
        Self { namespace, ..self }
    }

    pub fn is(&self, purpose: Purpose) -> bool {
        self.purpose == purpose
    }

    /// Probes until the receiver is dropped, and sends all changes.
    pub async fn run(self, change_tx: mpsc::Sender<ProbeChange>) {
        let mut threshold = Threshold::new(self.success, self.failure);
        tokio::time::sleep(self.initial_delay).await;
        let mut ticks = tokio::time::interval(self.period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let ok = tokio::time::timeout(self.timeout, self.check.run(self.namespace.as_ref())).await.unwrap_or(false);
            let Some(healthy) = threshold.record(ok) else { continue };
            if change_tx.send(ProbeChange { purpose: self.purpose, healthy }).await.is_err() {
                return;
            }
        }
    }
}

impl Check {
    fn new(probe: &Probe, container: &Container, ip: IpAddr) -> Result<Self, ConfigError> {
        let unsupported = |what: &str| ConfigError::Unsupported { what: format!("a probe of kind {what}") };
        if let Some(get) = &probe.http_get {
            if get.scheme.as_deref().is_some_and(|scheme| scheme != "HTTP") {
                return Err(unsupported("httpGet with scheme HTTPS"));
            }
            return Self::http(get, container, ip);
        }
        if let Some(tcp) = &probe.tcp_socket {
            let host = host_address(tcp.host.as_deref(), ip)?;
            return Ok(Self::Tcp(SocketAddr::new(host, port_number(&tcp.port, container)?)));
        }
        Err(unsupported(if probe.exec.is_some() { "exec" } else { "grpc" }))
    }

    fn http(get: &HTTPGetAction, container: &Container, ip: IpAddr) -> Result<Self, ConfigError> {
        let host = host_address(get.host.as_deref(), ip)?;
        let address = SocketAddr::new(host, port_number(&get.port, container)?);
        let path = get.path.clone().filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned());
        let path = if path.starts_with('/') { path } else { format!("/{path}") };
        let headers = get.http_headers.iter().flatten().map(|h| (h.name.clone(), h.value.clone())).collect();
        Ok(Self::Http { address, path, headers })
    }

    async fn run(&self, namespace: Option<&Namespace>) -> bool {
        match self {
            Self::Tcp(address) => connect(namespace, *address).await.is_ok(),
            Self::Http { address, path, headers } => {
                let status = get(namespace, *address, path, headers).await;
                status.is_ok_and(|status| status.is_success() || status.is_redirection())
            }
        }
    }
}

/// Connects from inside a network namespace; `None` for the host's.
pub async fn connect(namespace: Option<&Namespace>, address: SocketAddr) -> io::Result<TcpStream> {
    match namespace {
        None => TcpStream::connect(address).await,
        Some(namespace) => namespace.connect(address).await,
    }
}

async fn get(
    namespace: Option<&Namespace>,
    address: SocketAddr,
    path: &str,
    headers: &[(String, String)],
) -> Result<http::StatusCode, Box<dyn std::error::Error + Send + Sync>> {
    let stream = connect(namespace, address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::get(path).header("user-agent", "kube-probe/sandbox").header("connection", "close");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header("host", address.to_string());
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Empty::<Bytes>::new())?;
    // Polled here instead of spawned, so that the connection ends with the probe's timeout.
    let response = async { sender.send_request(request).await.map(|response| response.status()) };
    tokio::pin!(response, connection);
    tokio::select! {
        biased;
        status = &mut response => Ok(status?),
        // After a short response, the connection can end before the response is polled.
        ended = &mut connection => { ended?; Ok(response.await?) }
    }
}

fn host_address(host: Option<&str>, ip: IpAddr) -> Result<IpAddr, ConfigError> {
    let Some(host) = host.filter(|host| !host.is_empty()) else { return Ok(ip) };
    host.parse()
        .map_err(|_| ConfigError::Unsupported { what: format!("a probe of host {host:?}, which is not an address") })
}

fn port_number(port: &IntOrString, container: &Container) -> Result<u16, ConfigError> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let named = |port: &&k8s_openapi::api::core::v1::ContainerPort| port.name.as_deref() == Some(name);
            container.ports.iter().flatten().find(named).map(|port| port.container_port).or_else(|| name.parse().ok())
        }
    };
    let shown = || match port {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => name.clone(),
    };
    number.and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0).ok_or_else(|| ConfigError::NoPort { port: shown() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(success: i32, failure: i32, results: &[bool]) -> Vec<Option<bool>> {
        let mut threshold = Threshold::new(success, failure);
        results.iter().map(|ok| threshold.record(*ok)).collect()
    }

    #[test]
    fn change_requires_consecutive_equal_results() {
        let (up, down) = (Some(true), Some(false));
        assert_eq!(changes(1, 3, &[true, true, false, false, false, false]), [up, None, None, None, down, None]);
        assert_eq!(changes(1, 3, &[false, false, true, false, false, false]), [None, None, up, None, None, down]);
        assert_eq!(changes(2, 1, &[true, false, true, true, true]), [None, down, None, up, None]);
    }

    fn container(yaml: &str) -> Container {
        serde_json::from_str(yaml).unwrap()
    }

    fn check(container: &Container) -> Result<String, String> {
        let probe = container.readiness_probe.as_ref().unwrap();
        let ip = IpAddr::from([127, 1, 2, 3]);
        let prober = Prober::new(Purpose::Readiness, probe, container, ip).map_err(|error| error.to_string())?;
        Ok(match prober.check {
            Check::Tcp(address) => format!("tcp {address}"),
            Check::Http { address, path, .. } => format!("http {address}{path}"),
        })
    }

    #[test]
    fn port_can_be_a_number_or_a_name() {
        let ports = r#""name":"c","ports":[{"name":"metrics","containerPort":9091}]"#;
        let http = r#""readinessProbe":{"httpGet":{"path":"healthz","port":"metrics"}}"#;
        assert_eq!(check(&container(&format!("{{{ports},{http}}}"))).unwrap(), "http 127.1.2.3:9091/healthz");
        let tcp = r#""readinessProbe":{"tcpSocket":{"port":7,"host":"127.0.0.9"}}"#;
        assert_eq!(check(&container(&format!("{{{ports},{tcp}}}"))).unwrap(), "tcp 127.0.0.9:7");
        let bad = r#""readinessProbe":{"tcpSocket":{"port":"web"}}"#;
        assert_eq!(check(&container(&format!("{{{ports},{bad}}}"))).unwrap_err(), "the container has no port \"web\"");
    }

    #[tokio::test]
    async fn response_in_one_segment_is_read() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            for status in ["200 OK", "503 Service Unavailable"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let read = stream.read(&mut [0; 4096]).await.unwrap();
                assert!(read > 0);
                let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 3\r\n\r\nok\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let check = Check::Http { address, path: "/healthz".into(), headers: Vec::new() };
        assert!(check.run(None).await, "200 is a success");
        assert!(!check.run(None).await, "503 is a failure");
        server.await.unwrap();
    }

    #[test]
    fn unsupported_probe_is_named() {
        let exec = container(r#"{"name":"c","readinessProbe":{"exec":{"command":["true"]}}}"#);
        assert_eq!(check(&exec).unwrap_err(), "the sandbox does not support a probe of kind exec");
    }
}
