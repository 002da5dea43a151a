//! A node whose maglevd has a memory limit: a control plane, a simulated VPP and backends, all outside of the limit.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::ExitStatus,
    time::Duration,
};

use futures::StreamExt as _;
use kube::{
    Api, Client,
    api::{DynamicObject, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use maglev_model::actual::VppVip;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use regex::Regex;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    process::Child,
    time::{Instant, sleep},
};

use super::{cgroup::MemoryCgroup, vpp_process::VppProcess};
use crate::harness::{Cluster, LIMIT, own_control_plane, root};

const NAMESPACE: &str = "default";

pub struct LimitedNode {
    pub vpp: VppProcess,
    pub cgroup: MemoryCgroup,
    cluster: Cluster,
    client: Client,
    name: String,
    number: u8,
    maglevd: Option<Child>,
    starts: usize,
}

impl LimitedNode {
    /// Starts everything but maglevd. `number` must be unique, as it determines the ports.
    pub async fn start(name: &str, number: u8, routes: u32, cgroup: MemoryCgroup) -> Self {
        let cluster = own_control_plane(&format!("memory-{name}"), false).await;
        let vpp = VppProcess::start(cluster.dir(), routes).await;
        let client = cluster.client().await;
        let node = Self { vpp, cgroup, cluster, client, name: name.to_owned(), number, maglevd: None, starts: 0 };
        let output = node.cluster.kubectl_with(&["apply", "-f", "-"], &objects(name)).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        node
    }

    /// Creates objects of the API group of this project, many at a time.
    pub async fn create(&self, kind: &str, objects: impl Iterator<Item = (String, Value)>) {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("maglev.vpp.io", "v1alpha1", kind));
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), NAMESPACE, &resource);
        let create = |(name, spec): (String, Value)| {
            let mut object = DynamicObject::new(&name, &resource);
            object.data = json!({ "spec": spec });
            let api = api.clone();
            async move {
                loop {
                    match api.create(&PostParams::default(), &object).await {
                        // The API server has closed the connection, perhaps after it had created the object.
                        Err(kube::Error::Service(_)) => {}
                        Err(kube::Error::Api(status)) if status.code == 409 => break,
                        created => break drop(created.unwrap()),
                    }
                }
            }
        };
        let mut created = futures::stream::iter(objects.map(create)).buffer_unordered(32);
        while created.next().await.is_some() {}
    }

    /// Patches an object.
    pub async fn patch(&self, object: &str, patch: &Value) {
        self.cluster.kubectl(&["patch", object, "--type=merge", "-p", &patch.to_string()]).await;
    }

    /// Starts maglevd in the cgroup.
    pub fn start_maglevd(&mut self) {
        self.starts += 1;
        let log = File::create(self.log_path()).unwrap();
        let mut command = self.cgroup.command(maglev_testkit::binary("maglevd").to_str().unwrap());
        command.args(["--node-name", &self.name, "--allow-loopback"]);
        command.args(["--metrics-addr", &self.metrics_address().to_string()]);
        command.args(["--grpc-addr", &self.grpc_address().to_string()]);
        command.arg("--vpp-api-socket").arg(&self.vpp.api_socket);
        command.arg("--vpp-stats-socket").arg(&self.vpp.stats_socket);
        command.envs(allocator_settings());
        command.env("KUBECONFIG", self.cluster.plane().kubeconfig()).stdin(std::process::Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        self.maglevd = Some(command.spawn().unwrap());
    }

    /// Address of maglevd's HTTP endpoints.
    pub fn metrics_address(&self) -> SocketAddr {
        (Ipv4Addr::new(127, 0, 3, 20), 19090 + u16::from(self.number)).into()
    }

    /// Address of maglevd's gRPC server.
    pub fn grpc_address(&self) -> SocketAddr {
        (Ipv4Addr::new(127, 0, 3, 20), 19190 + u16::from(self.number)).into()
    }

    fn log_path(&self) -> PathBuf {
        self.cluster.dir().join(format!("maglevd-{}.log", self.starts))
    }

    /// Log of the last maglevd.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap()
    }

    /// Number of lines in that log that contain `text`.
    pub fn log_count(&self, text: &str) -> usize {
        self.log().lines().filter(|line| line.contains(text)).count()
    }

    /// Bytes of maglevd's own memory now, and at most so far, in KiB.
    pub fn rss_kib(&self) -> [u64; 2] {
        let pid = self.maglevd.as_ref().and_then(Child::id).expect("maglevd runs");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        ["VmRSS:", "VmHWM:"].map(|field| {
            let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the process has memory");
            line.trim().trim_end_matches(" kB").parse().unwrap()
        })
    }

    /// Waits until VPP has this number of VIPs and of servers with a weight, and maglevd is ready and has read all of them
    /// back.
    pub async fn until_programmed(&mut self, vips: usize, servers: usize, limit: Duration) {
        let end = Instant::now() + limit;
        loop {
            let programmed = self.log_count("result=Programmed");
            let ready = get(self.metrics_address(), "/readyz").await;
            let mut serving = (0, 0);
            if programmed >= vips && ready.as_deref() == Some("200") {
                let now = self.vpp.vips().await;
                let weighted = |vip: &VppVip| now[vip].ases.values().filter(|server| server.weight > 0).count();
                serving = (now.len(), now.keys().map(weighted).sum::<usize>());
            }
            if serving == (vips, servers) {
                return;
            }
            assert!(self.exit_status().is_none(), "maglevd ended: {}", self.log());
            let state = format!("{serving:?} of {vips} VIPs and {servers} servers, {programmed} read back, {ready:?}");
            assert!(Instant::now() < end, "{state}: {}", self.log());
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// The exit status of maglevd if it has ended.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.maglevd.as_mut().expect("maglevd was started").try_wait().unwrap()
    }

    /// Creates Backends, 100 at a time, until the kernel kills maglevd for lack of memory. Their names begin with `name`.
    /// Returns their number.
    pub async fn grow_until_killed(&mut self, name: &str) -> u32 {
        let before = self.cgroup.kills();
        let mut created = 0_u32;
        let status = loop {
            if let Some(status) = self.exit_status() {
                break status;
            }
            assert!(created < 50_000, "{created} more Backends fit into {} bytes: {}", self.cgroup.usage(), self.log());
            let batch = (created..created + 100).map(|number| (format!("{name}-{number}"), backend(number)));
            self.create("Backend", batch).await;
            created += 100;
        };
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "{status}: {}", self.log());
        assert!(self.cgroup.kills() > before, "the kernel killed maglevd because of its limit");
        created
    }

    /// Stops maglevd with SIGTERM.
    pub async fn stop_maglevd(&mut self) {
        let mut child = self.maglevd.take().expect("maglevd runs");
        kill(Pid::from_raw(child.id().expect("maglevd runs").try_into().unwrap()), Signal::SIGTERM).unwrap();
        let status = tokio::time::timeout(LIMIT, child.wait()).await.expect("maglevd ends in time").unwrap();
        assert!(status.success(), "{status}: {}", self.log());
    }
}

/// The spec of a Backend without a HealthCheck.
fn backend(number: u32) -> Value {
    json!({ "address": Ipv4Addr::from_bits(0x0a80_0000 + number) })
}

fn objects(node: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Node, metadata: {{name: {node}}}}}\n---\n\
         {{apiVersion: maglev.vpp.io/v1alpha1, kind: LoadBalancerConfig, metadata: {{name: quick}}, spec: {{\
         sync: {{startupMinDelay: 500ms, startupMaxDelay: 60s}}, vpp: {{ipv4SourceAddress: 192.0.2.254}}}}}}\n"
    )
}

/// The variables of the chart's DaemonSet that set the allocator.
fn allocator_settings() -> Vec<(String, String)> {
    let template = fs::read_to_string(root().join("charts/maglev/templates/agent/daemonset.yaml")).unwrap();
    let variable = Regex::new(r#"- name: (MALLOC_\w+)\n\s+value: "(\d+)""#).unwrap();
    let settings: Vec<_> =
        variable.captures_iter(&template).map(|found| (found[1].to_owned(), found[2].to_owned())).collect();
    assert_eq!(settings.len(), 3, "{settings:?}");
    settings
}

/// The status of the response to a request on a connection of its own; `None` if there is none within 10 s.
pub async fn get(address: SocketAddr, path: &str) -> Option<String> {
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await.ok()?;
        Some(response.split(' ').nth(1)?.to_owned())
    };
    tokio::time::timeout(Duration::from_secs(10), exchange).await.ok().flatten()
}

/// Starts an HTTP server on every loopback address. It sends `body`, again and again if `endless`.
pub async fn serve(body: &'static [u8], endless: bool) -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut request, head) = ([0; 1024], "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
                // A request of a probe arrives in one piece.
                let _request = stream.read(&mut request).await;
                let _head = stream.write_all(head.as_bytes()).await;
                while stream.write_all(body).await.is_ok() && endless {}
            });
        }
    });
    port
}
