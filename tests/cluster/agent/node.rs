//! One node for one test: its own control plane, a simulated VPP, two live backends, and maglevd.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use maglev_model::vip::{Protocol, Service, VipKey};
use maglev_sandbox::demo_backend::{DemoBackends, DemoOptions, Mode};
use maglev_vpp_simulator::{Simulator, SimulatorOptions};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::harness::{Cluster, LIMIT, eventually, own_control_plane};

/// VIP of the Frontend: 203.0.113.80, TCP port 80.
pub const VIP: VipKey = VipKey {
    address: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 80)),
    service: Service::Port { protocol: Protocol::Tcp, port: std::num::NonZeroU16::new(80).expect("80 is not 0") },
};

const OBJECTS: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: NODE}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: LoadBalancerConfig
metadata: {name: quick}
spec: {sync: {startupMinDelay: 500ms, startupMaxDelay: 10s, interval: 2s}, vpp: {ipv4SourceAddress: 192.0.2.254}}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: HealthCheck
metadata: {name: check, namespace: default}
spec: {type: HTTP, port: 18080, TIMING, rise: 2, fall: 3}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Backend
metadata: {name: one, namespace: default}
spec: {address: 127.0.3.1, healthCheckRef: {name: check}}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Backend
metadata: {name: two, namespace: default}
spec: {address: 127.0.3.2, healthCheckRef: {name: check}}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Frontend
metadata: {name: web, namespace: default}
spec: {address: 203.0.113.80, protocol: TCP, port: 80, pools: [{name: primary, backends: [{name: one}, {name: two}]}]}
"#;

pub struct Node {
    pub cluster: Cluster,
    pub simulator: Simulator,
    backends: DemoBackends,
    dir: PathBuf,
    number: u8,
    /// Address of maglevd's servers.
    host: Ipv4Addr,
    /// Additional flags of maglevd.
    flags: Vec<&'static str>,
    maglevd: Option<Child>,
    _end: tokio_util::sync::DropGuard,
}

impl Node {
    /// Starts everything but maglevd. `timing` holds the HealthCheck's fields for interval and timeout. `number` must
    /// be unique, as it determines the ports.
    pub async fn start(test: &str, number: u8, timing: &str) -> Self {
        let cluster = own_control_plane(&format!("maglevd-{test}"), false).await;
        let dir = cluster.dir().to_owned();
        let port = 18080 + u16::from(number);
        let backends = [("one", [127, 0, 3, 1]), ("two", [127, 0, 3, 2])]
            .map(|(name, address)| (name.to_owned(), (address, port).into()));
        let end = CancellationToken::new();
        let options = DemoOptions { backends: backends.into(), ..DemoOptions::standard(&dir) };
        let backends = DemoBackends::start(options, end.clone()).await.unwrap();
        let sockets = dir.join("run/vpp");
        let stats_socket = Some(sockets.join("stats.sock"));
        let options = SimulatorOptions { stats_socket, ..SimulatorOptions::new(sockets.join("api.sock")) };
        let simulator = Simulator::start(options).await.unwrap();
        let objects = OBJECTS.replace("NODE", test).replace("TIMING", timing).replace("18080", &port.to_string());
        let output = cluster.kubectl_with(&["apply", "-f", "-"], &objects).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let host = [127, 0, 3, 10].into();
        Self {
            cluster,
            simulator,
            backends,
            dir,
            number,
            host,
            flags: Vec::new(),
            maglevd: None,
            _end: end.drop_guard(),
        }
    }

    /// Sets the address of maglevd's servers, which is 127.0.3.10 otherwise.
    pub fn set_host(&mut self, host: Ipv4Addr) {
        self.host = host;
    }

    /// Adds a flag of maglevd.
    pub fn add_flag(&mut self, flag: &'static str) {
        self.flags.push(flag);
    }

    pub async fn start_maglevd(&mut self) {
        let test = self.node_name();
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let child = Command::new(maglev_testkit::binary("maglevd"))
            .args(["--node-name", &test, "--allow-loopback", "--metrics-addr", &self.metrics_address()])
            .args(["--grpc-addr", &self.grpc_address(), "--grpc-tls-addr", &self.grpc_tls_address()])
            // Without a certificate.
            .args(["--grpc-tls-dir", "/nonexistent"])
            .args(&self.flags)
            .arg("--vpp-api-socket")
            .arg(self.simulator.api_socket())
            .arg("--vpp-stats-socket")
            .arg(self.dir.join("run/vpp/stats.sock"))
            .env("KUBECONFIG", self.cluster.plane().kubeconfig())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.maglevd = Some(child);
    }

    /// Stops maglevd with SIGTERM, as Kubernetes does. Panics unless it exits with status 0.
    pub async fn stop_maglevd(&mut self) {
        self.signal(Signal::SIGTERM);
        let mut child = self.maglevd.take().expect("maglevd runs");
        let status = tokio::time::timeout(LIMIT, child.wait()).await.expect("maglevd ends in time").unwrap();
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// Sends maglevd a signal.
    pub fn signal(&self, signal: Signal) {
        let id = self.maglevd.as_ref().and_then(Child::id).expect("maglevd runs");
        kill(Pid::from_raw(id.try_into().unwrap()), signal).unwrap();
    }

    /// Name of the Node object.
    pub fn node_name(&self) -> String {
        let name = self.dir.file_name().unwrap().to_str().unwrap();
        name.trim_start_matches("maglevd-").rsplit_once('-').unwrap().0.to_owned()
    }

    /// Creates the Node object.
    pub async fn register(&self) {
        let object = format!("apiVersion: v1\nkind: Node\nmetadata: {{name: {}}}\n", self.node_name());
        let output = self.cluster.kubectl_with(&["apply", "-f", "-"], &object).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The process of maglevd.
    pub fn pid(&self) -> u32 {
        self.maglevd.as_ref().and_then(Child::id).expect("maglevd runs")
    }

    /// Address of maglevd's HTTP endpoints.
    pub fn metrics_address(&self) -> String {
        format!("{}:{}", self.host, 19090 + u16::from(self.number))
    }

    /// Address of maglevd's gRPC server.
    pub fn grpc_address(&self) -> String {
        format!("{}:{}", self.host, 19190 + u16::from(self.number))
    }

    /// Address of maglevd's gRPC server with TLS.
    pub fn grpc_tls_address(&self) -> String {
        format!("{}:{}", self.host, 19290 + u16::from(self.number))
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("maglevd.log")
    }

    /// Log of maglevd, restarts included.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap()
    }

    /// Number of lines of the log that contain `text`.
    pub fn log_count(&self, text: &str) -> usize {
        self.log().lines().filter(|line| line.contains(text)).count()
    }

    /// Sets the behaviour of a backend.
    pub fn set_backend(&self, name: &str, mode: Mode) {
        self.backends.set_mode(name, mode).unwrap();
    }

    /// Number of requests that each backend has answered.
    pub fn answered_requests(&self) -> Vec<u64> {
        ["one", "two"].iter().map(|name| self.backends.responses(name).unwrap()).collect()
    }

    /// Number of reads of VPP's state.
    pub fn dump_count(&self) -> u64 {
        self.simulator.requests().get("lb_as_v2_dump").copied().unwrap_or(0)
    }

    /// Body of a response with status 200; `Err` holds the body of any other response.
    pub async fn http_get(&self, path: &str) -> Result<String, String> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(self.metrics_address()).await.map_err(|err| err.to_string())?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        if head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200") {
            Ok(body.to_owned())
        } else {
            Err(body.trim().into())
        }
    }

    /// Readiness of maglevd; `Err` holds the reason that `/readyz` gives.
    pub async fn readiness(&self) -> Result<(), String> {
        self.http_get("/readyz").await.map(drop)
    }

    pub async fn until_ready(&self) {
        eventually("maglevd is ready", async || self.readiness().await.ok()).await;
    }

    /// Waits until VPP has exactly these weights.
    pub async fn until_weights(&self, weights: &[(&str, u8)]) {
        let expected: BTreeMap<IpAddr, u8> =
            weights.iter().map(|(address, weight)| (address.parse().unwrap(), *weight)).collect();
        self.until(&format!("VPP has the weights {expected:?}"), |node| {
            node.simulator.snapshot().weights(VIP) == expected
        })
        .await;
    }

    /// Waits until `holds` returns true; panics with VPP's VIPs and maglevd's log after [`LIMIT`].
    pub async fn until(&self, condition: &str, holds: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(LIMIT, async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        if waited.await.is_err() {
            panic!(
                "not within {} s: {condition}\n{:#?}\n{}",
                LIMIT.as_secs(),
                self.simulator.snapshot().vips,
                self.log()
            );
        }
    }
}
