//! Whether everything of a release answers, asked from where this runs: what `helm test` runs in the pod network, where
//! controller, dashboard and Prometheus ask from.
//!
//! ```text
//! k8s::release_pods ─▶ Check ─┬▶ every pod: GET /readyz
//!                             └▶ every agent: its gRPC
//! ```
//!
//! Nothing is kept: it asks again until all is well or its time is over, and then says what it found.

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
use maglev_rpc::client::AgentClient;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two rounds of questions.
const PAUSE: Duration = Duration::from_secs(1);

/// Which release, and how long to be patient.
#[derive(Clone, Debug)]
pub struct Check {
    /// The release's namespace.
    pub namespace: String,
    pub release: String,
    /// How long to ask again while something is missing.
    pub within: Duration,
}

/// What was found: a line per pod, each well or not.
#[derive(Clone, Debug, Default)]
pub struct Report(Vec<(String, Result<String, String>)>);

impl Report {
    /// Whether every line is well.
    pub fn is_fine(&self) -> bool {
        self.0.iter().all(|(_, answer)| answer.is_ok())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(who, answer)| match answer {
            Ok(what) => writeln!(f, "ok      {who}: {what}"),
            Err(what) => writeln!(f, "FAILED  {who}: {what}"),
        })
    }
}

impl Check {
    /// Asks until everything is well, or for as long as it may.
    pub async fn run(&self, client: &Client) -> Report {
        let deadline = Instant::now() + self.within;
        loop {
            let report = self.ask(client).await;
            if report.is_fine() || Instant::now() >= deadline {
                return report;
            }
            sleep(PAUSE).await;
        }
    }

    async fn ask(&self, client: &Client) -> Report {
        let place = format!("release {} in namespace {}", self.release, self.namespace);
        let pods = match timeout(ANSWER, release_pods(client, &self.namespace, &self.release)).await {
            Ok(Ok(pods)) => pods,
            Ok(Err(err)) => return Report(vec![(place, Err(format!("its pods cannot be listed: {err}")))]),
            Err(_) => return Report(vec![(place, Err(format!("no list of its pods within {} s", ANSWER.as_secs())))]),
        };
        let asked = pods.iter().map(async |pod| (called(pod), ask(pod).await));
        let mut report = Report(join_all(asked).await);
        if !pods.iter().any(|pod| pod.component == AGENT) {
            let why = "there is no agent: does any Node have the labels of agent.nodeSelector?";
            report.0.push((place, Err(why.to_owned())));
        }
        report
    }
}

fn called(pod: &ReleasePod) -> String {
    let name = &pod.name;
    pod.node.as_ref().map_or_else(|| format!("{name}, bound to no Node"), |node| format!("{name} on {node}"))
}

/// Whether a pod is ready, and an agent can be followed.
async fn ask(pod: &ReleasePod) -> Result<String, String> {
    let ip = pod.ip.ok_or("it has no address yet")?;
    let within = |what: &str, port| format!("{what} on {ip} port {port}: no answer within {} s", ANSWER.as_secs());
    let (metrics, grpc) = (pod.metrics, pod.grpc.filter(|_| pod.component == AGENT));
    timeout(ANSWER, readyz((ip, metrics).into())).await.map_err(|_| within("/readyz", metrics))??;
    let Some(grpc) = grpc else { return Ok("ready".to_owned()) };
    let version = timeout(ANSWER, version((ip, grpc).into())).await.map_err(|_| within("its gRPC", grpc))??;
    Ok(format!("ready, and maglevd {version} answers on port {grpc}"))
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

async fn version(address: SocketAddr) -> Result<String, String> {
    let failed = |err: &dyn fmt::Display| {
        format!("its gRPC on {address} does not answer ({err}): is the port open in the node's firewall?")
    };
    let endpoint = AgentClient::endpoint(format!("http://{address}")).map_err(|err| failed(&err))?;
    let channel = endpoint.connect().await.map_err(|err| failed(&err))?;
    Ok(AgentClient::new(channel).version().await.map_err(|err| failed(&err))?.version)
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
        }
    }

    /// Answers every request with this.
    async fn serve(answer: &'static str) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        address
    }

    #[tokio::test]
    async fn who_is_not_ready_says_why() {
        let ready = serve("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n").await;
        assert_eq!(ask(&pod(ready, "controller", None)).await, Ok("ready".to_owned()));
        let waits = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 16\r\n\r\nwaiting for VPP\n";
        let waits = serve(waits).await;
        assert_eq!(ask(&pod(waits, AGENT, Some(1))).await, Err("not ready: waiting for VPP".to_owned()));
    }

    #[tokio::test]
    async fn an_agent_whose_grpc_is_closed_fails_and_names_the_port() {
        let ready = serve("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n").await;
        let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = closed.local_addr().expect("it is bound").port();
        drop(closed);
        let failed = ask(&pod(ready, AGENT, Some(port))).await.expect_err("nobody listens");
        assert!(failed.contains(&format!("127.0.0.1:{port}")) && failed.contains("firewall"), "{failed}");
    }

    #[test]
    fn one_line_that_is_not_well_is_enough() {
        let mut report = Report(vec![("a".to_owned(), Ok("ready".to_owned()))]);
        assert!(report.is_fine());
        report.0.push(("b".to_owned(), Err("it has no address yet".to_owned())));
        assert!(!report.is_fine());
        assert_eq!(report.to_string(), "ok      a: ready\nFAILED  b: it has no address yet\n");
    }
}
