//! Checks that all pods of a release answer. `helm test` runs it in the pod network, from where controller, dashboard
//! and Prometheus connect.
//!
//! ```text
//! kube::release_pods ─▶ Check ─┬▶ every pod: GET /readyz
//!                              └▶ every agent: its gRPC
//! ```
//!
//! Stateless: repeats the requests until every pod answers or the time is over, and returns a report.

use std::{fmt, net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures::future::join_all;
use http::{Request, header::HOST};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use kube::Client;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use maglev_kube::release_pods::{AGENT, ReleasePod, release_pods};

use super::{AgentTarget, Connect as _, Direct, Error, Security};

/// Timeout of one request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Delay between two rounds.
const PAUSE: Duration = Duration::from_secs(1);

/// The release to check.
#[derive(Clone, Debug, Default)]
pub struct Check {
    pub namespace: String,
    pub release: String,
    /// Time limit of repeated rounds.
    pub within: Duration,
    /// Security of the connections to agents.
    pub security: Security,
}

/// Result of a round: for each pod its name, and a success or failure message.
#[derive(Clone, Debug, Default)]
pub struct Report(Vec<(String, Result<String, String>)>);

impl Report {
    pub fn is_fine(&self) -> bool {
        self.0.iter().all(|(_, answer)| answer.is_ok())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(pod, answer)| match answer {
            Ok(message) => writeln!(f, "ok      {pod}: {message}"),
            Err(message) => writeln!(f, "FAILED  {pod}: {message}"),
        })
    }
}

impl Check {
    /// Repeats rounds until every pod answers, or until the time limit.
    pub async fn run(&self, client: &Client) -> Report {
        let deadline = Instant::now() + self.within;
        loop {
            let report = self.run_round(client).await;
            if report.is_fine() || Instant::now() >= deadline {
                return report;
            }
            sleep(PAUSE).await;
        }
    }

    async fn run_round(&self, client: &Client) -> Report {
        let subject = format!("release {} in namespace {}", self.release, self.namespace);
        let pods = match timeout(TIMEOUT, release_pods(client, &self.namespace, &self.release)).await {
            Ok(Ok(pods)) => pods,
            Ok(Err(err)) => return Report(vec![(subject, Err(format!("cannot list its pods: {err}")))]),
            Err(_) => {
                return Report(vec![(
                    subject,
                    Err(format!("cannot list its pods: no answer within {} s", TIMEOUT.as_secs())),
                )]);
            }
        };
        let direct = Direct::new(self.security.clone());
        let checks = pods.iter().map(async |pod| (display_name(pod), check_pod(pod, &direct).await));
        let mut report = Report(join_all(checks).await);
        if !pods.iter().any(|pod| pod.component == AGENT) {
            let error = "there is no agent pod: check that at least one Node has the labels in the chart value agent.nodeSelector";
            report.0.push((subject, Err(error.to_owned())));
        }
        report
    }
}

fn display_name(pod: &ReleasePod) -> String {
    let name = &pod.name;
    pod.node.as_ref().map_or_else(|| format!("{name}, not scheduled"), |node| format!("{name} on {node}"))
}

/// Checks `/readyz` of a pod, and the gRPC server of an agent.
async fn check_pod(pod: &ReleasePod, direct: &Direct) -> Result<String, String> {
    let ip = pod.ip.ok_or("the pod has no IP address yet")?;
    let within =
        |endpoint: &str, port| format!("{endpoint} on {ip} port {port}: no answer within {} s", TIMEOUT.as_secs());
    let (metrics, grpc) = (pod.metrics, pod.grpc.filter(|_| pod.component == AGENT));
    timeout(TIMEOUT, readyz((ip, metrics).into())).await.map_err(|_| within("/readyz", metrics))??;
    let Some(grpc) = grpc else { return Ok("ready".to_owned()) };
    let tls_address = pod.grpc_tls.map(|port| (ip, port).into());
    let target = AgentTarget { tls_address, ..AgentTarget::from(SocketAddr::from((ip, grpc))) };
    let port = direct.address(&target).port();
    let version = timeout(TIMEOUT, version(direct, &target)).await.map_err(|_| within("gRPC", port))??;
    Ok(format!("ready, and maglevd {version} answers on port {port}"))
}

async fn readyz(address: SocketAddr) -> Result<(), String> {
    let failed = |err: &dyn fmt::Display| format!("/readyz on {address}: {err}");
    let stream = TcpStream::connect(address).await.map_err(|err| failed(&err))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|err| failed(&err))?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let request = Request::get("/readyz").header(HOST, address.to_string()).body(Empty::<Bytes>::new());
    let answer = sender.send_request(request.map_err(|err| failed(&err))?).await.map_err(|err| failed(&err))?;
    let status = answer.status();
    let text = answer.into_body().collect().await.map_err(|err| failed(&err))?.to_bytes();
    let reason = String::from_utf8_lossy(&text);
    if status.is_success() { Ok(()) } else { Err(format!("not ready: {}", reason.trim())) }
}

async fn version(direct: &Direct, target: &AgentTarget) -> Result<String, String> {
    let address = direct.address(target);
    let client = direct.connect(target).await.map_err(|err| {
        let text = Error::Connect(err).describe();
        format!("gRPC on {address} does not answer ({text}); check that the node's firewall allows the port")
    })?;
    let version = client.version().await.map_err(|err| Error::from(err).describe());
    version.map(|version| version.version).map_err(|err| format!("gRPC on {address}: {err}"))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn pod(address: SocketAddr, component: &str, grpc: Option<u16>) -> ReleasePod {
        ReleasePod {
            name: "x".to_owned(),
            component: component.to_owned(),
            node: Some("node-a".to_owned()),
            ip: Some(address.ip()),
            metrics: address.port(),
            grpc,
            grpc_tls: None,
        }
    }

    /// Answers every request with `answer`.
    async fn serve(answer: &'static str) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the listener is bound");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        address
    }

    #[tokio::test]
    async fn unready_pod_reports_the_reason() {
        let ready = serve("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n").await;
        assert_eq!(check_pod(&pod(ready, "controller", None), &Direct::default()).await, Ok("ready".to_owned()));
        let unready = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 16\r\n\r\nwaiting for VPP\n";
        let unready = serve(unready).await;
        assert_eq!(
            check_pod(&pod(unready, AGENT, Some(1)), &Direct::default()).await,
            Err("not ready: waiting for VPP".to_owned())
        );
    }

    #[tokio::test]
    async fn closed_grpc_port_is_named_in_the_error() {
        let ready = serve("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n").await;
        let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = closed.local_addr().expect("the listener is bound").port();
        drop(closed);
        let failed =
            check_pod(&pod(ready, AGENT, Some(port)), &Direct::default()).await.expect_err("the port is closed");
        assert!(failed.contains(&format!("127.0.0.1:{port}")) && failed.contains("firewall"), "{failed}");
    }

    #[test]
    fn one_failed_line_fails_the_report() {
        let mut report = Report(vec![("a".to_owned(), Ok("ready".to_owned()))]);
        assert!(report.is_fine());
        report.0.push(("b".to_owned(), Err("the pod has no IP address yet".to_owned())));
        assert!(!report.is_fine());
        assert_eq!(report.to_string(), "ok      a: ready\nFAILED  b: the pod has no IP address yet\n");
    }
}
