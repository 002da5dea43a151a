//! One node of the sandbox: replaces a kubelet and a container runtime.
//!
//! Started by `up` and tests ([`Node::start`]). Registers a Node, runs the pods bound to it as local processes of the
//! project's binaries, and serves their logs and ports to the API server. There are no images and no isolation.
//!
//! ```text
//!  API server ──pods──► pods ──► pod_worker ──► container ──► launch ──► process
//!      ▲  ▲ ▲                        │  │            └─ supervision ─ probe
//!      │  │ └──── status_patch ◄─────┘  └─ volumes: hostPath, emptyDir, ServiceAccount token
//!      │  └────── registration: Node, Lease
//!      └─ logs, port-forward ── server ── registry ◄── log_file ◄── output
//! ```
//!
//! | kubelet | sandbox |
//! |---|---|
//! | images | the last component of `command[0]` is the name of a binary in one directory |
//! | mounts | paths under a mount are rewritten in args and env |
//! | pod network | a loopback address per pod; the node's address with hostNetwork; [a network namespace](NodeOptions::network) |
//! | kube-proxy | its health server; the translation of packets is that of [`PodNetwork`] |
//! | in-cluster credentials | a kubeconfig with the pod's token, in `KUBECONFIG` |
//! | exec, attach, sidecars, exec and gRPC probes, hooks, resource limits | not supported |

mod addresses;
mod config_error;
mod container;
mod context;
mod environment;
mod expansion;
mod launch;
mod log_file;
mod mount_events;
mod path_map;
mod pod;
mod pod_worker;
mod pods;
mod probe;
mod registration;
mod registry;
mod restart_delay;
mod server;
mod service_proxy_health;
mod status;
mod status_patch;
mod supervision;
mod volumes;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use context::Timings;

use super::{
    SandboxError,
    control_plane::{ControlPlane, IssuedCertificate, Subject},
    packets::PodNetwork,
    processes::Processes,
};
use addresses::{PodAddresses, PodNamespaces};
use context::Context;
use pods::Pods;
use registration::Registration;
use registry::Registry;
use server::Server;
use service_proxy_health::ServiceProxyHealth;

#[derive(Clone)]
pub struct NodeOptions {
    /// Name of the Node object.
    pub name: String,
    /// InternalIP 127.0.1.N. Pods get addresses of 127.1.N.0/24, so N must be unique.
    pub address: Ipv4Addr,
    /// The directory that represents the node's `/`, with the pods' directories in `pods/`.
    pub root: PathBuf,
    /// Directory of the containers' logs `NAMESPACE_POD_UID/CONTAINER/RUN.log`: the last two runs, kept after the pod's end.
    pub logs: PathBuf,
    /// Directory of the binaries that containers can run.
    pub binaries: PathBuf,
    /// An administrator's client.
    pub client: kube::Client,
    /// URL of the API server, for the pods.
    pub server: String,
    /// The certificate authority, in PEM.
    pub authority_pem: String,
    /// The node's server certificate and key.
    pub serving: IssuedCertificate,
    /// The client certificate of the API server, the only accepted client.
    pub api_server_certificate_pem: String,
    pub processes: Processes,
    pub timings: Timings,
    /// If given, pods have a network namespace and an address of 10.244.N.0/24 in it, unless they use the host's network or
    /// have a token: the API server listens on a loopback address of the host only.
    pub network: Option<Arc<PodNetwork>>,
}

impl NodeOptions {
    /// Options for the node `name` of the control plane in `dir`: address 127.0.1.`number` (from 1), root `dir/nodes/NAME`,
    /// logs in `dir/logs/pods`, binaries from the directory of the running executable.
    ///
    /// # Errors
    /// The certificates cannot be issued or read, or the path of the executable is unknown.
    pub async fn new(
        plane: &ControlPlane,
        dir: &std::path::Path,
        processes: &Processes,
        name: &str,
        number: u8,
    ) -> Result<Self, SandboxError> {
        let address = Ipv4Addr::new(127, 0, 1, number);
        let subject = Subject::user(format!("system:node:{name}")).group("system:nodes").name(address.to_string());
        let certificate = dir.join("pki/apiserver-kubelet-client.crt");
        let executable = std::env::current_exe().map_err(SandboxError::file("find", "the running executable"))?;
        Ok(Self {
            name: name.to_owned(),
            address,
            root: dir.join("nodes").join(name),
            logs: dir.join("logs/pods"),
            binaries: executable.parent().map(PathBuf::from).unwrap_or_default(),
            client: plane.client().await?,
            server: plane.server(),
            authority_pem: plane.authority().certificate_pem().to_owned(),
            serving: plane.authority().issue(&subject)?,
            api_server_certificate_pem: std::fs::read_to_string(&certificate)
                .map_err(SandboxError::file("read", certificate))?,
            processes: processes.clone(),
            timings: Timings::default(),
            network: None,
        })
    }

    fn context(self) -> Context {
        Context {
            addresses: PodAddresses::for_node([127, 1], self.address),
            namespaces: self.network.map(|network| PodNamespaces::for_node(network, self.address)),
            registry: Registry::default(),
            name: self.name,
            address: self.address,
            root: self.root,
            logs: self.logs,
            binaries: self.binaries,
            client: self.client,
            server: self.server,
            authority_pem: self.authority_pem,
            processes: self.processes,
            timings: self.timings,
        }
    }
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    name: String,
    endpoint: SocketAddr,
    tasks: TaskTracker,
}

impl Node {
    /// Registers the node and runs it until `shutdown`. Returns once the Node object exists and is Ready.
    ///
    /// # Errors
    /// A directory, certificate or address cannot be used, or the API server rejects the node.
    pub async fn start(options: NodeOptions, shutdown: CancellationToken) -> Result<Self, SandboxError> {
        for dir in [&options.root, &options.logs] {
            std::fs::create_dir_all(dir).map_err(SandboxError::file("create", dir))?;
        }
        let server = Server::bind(&options).await?;
        let endpoint = server.address()?;
        let health = ServiceProxyHealth::bind(options.address).await?;
        let context = Arc::new(options.context());
        let action = || format!("register node {}", context.name);
        let version = context.client.apiserver_version().await.map_err(SandboxError::api(action()))?;
        let registration = Registration::new(Arc::clone(&context), endpoint, &version.git_version);
        registration.refresh().await.map_err(SandboxError::api(action()))?;
        let this = Self { name: context.name.clone(), endpoint, tasks: TaskTracker::new() };
        this.tasks.spawn(registration.run(shutdown.clone()));
        this.tasks.spawn(server.run(Arc::clone(&context), shutdown.clone()));
        this.tasks.spawn(health.run(shutdown.clone()));
        this.tasks.spawn(Pods::new(context).run(shutdown));
        this.tasks.close();
        Ok(this)
    }

    /// Name of the Node object.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Address of the HTTPS server.
    pub fn endpoint(&self) -> SocketAddr {
        self.endpoint
    }

    /// Waits for the end of the node, after the shutdown passed to [`Node::start`]. No process of a pod is left then. Takes
    /// little more than [`Timings::stop_within`].
    pub async fn stopped(&self) {
        self.tasks.wait().await;
    }
}
