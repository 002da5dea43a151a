//! One node of the sandbox: stands for a kubelet and a container runtime.
//!
//! `up` and tests start it ([`Node::start`]); it registers itself, runs the pods bound to it as local processes of our own binaries, and
//! serves their logs and ports to the API server. It pulls no images, isolates nothing, and schedules nothing.
//!
//! ```text
//!  API server ──pods──► pods ──► pod_worker ──► container ──► launch ──► process
//!      ▲  ▲ ▲                        │  │            └─ supervision ─ probe
//!      │  │ └──── status_patch ◄─────┘  └─ volumes: hostPath, emptyDir, ServiceAccount token
//!      │  └────── registration: Node, Lease
//!      └─ logs, port-forward ── server ── registry ◄── log_file ◄── output
//! ```
//!
//! | a kubelet has | here |
//! |---|---|
//! | images | the last part of `command[0]` names a binary in one directory |
//! | mounts | paths under a mount are rewritten in args and env |
//! | pod network | a loopback address per pod, the node's own with hostNetwork |
//! | in-cluster credentials | a kubeconfig with the pod's token, in `KUBECONFIG` |
//! | exec, attach, sidecars, exec and gRPC probes, hooks, resource limits | nothing |

mod addresses;
mod config_error;
mod container;
mod context;
mod environment;
mod expansion;
mod launch;
mod log_file;
mod path_map;
mod pod;
mod pod_worker;
mod pods;
mod probe;
mod registration;
mod registry;
mod restart_delay;
mod server;
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
    control_plane::{ControlPlane, Issued, Subject},
    processes::Processes,
};
use addresses::PodAddresses;
use context::Context;
use pods::Pods;
use registration::Registration;
use registry::Registry;
use server::Server;

/// Everything a node needs.
#[derive(Clone)]
pub struct NodeOptions {
    /// The Node object's name.
    pub name: String,
    /// Its InternalIP, 127.0.1.N; N also chooses its pods' range 127.1.N.0/24, so it must differ from node to node.
    pub address: Ipv4Addr,
    /// The directory that stands for the node's `/`; pods' own directories are in `pods/` under it.
    pub root: PathBuf,
    /// Where the containers' logs go: `NAMESPACE_POD_UID/CONTAINER/RUN.log`, the last two runs of each. They stay when the pod is gone.
    pub logs: PathBuf,
    /// Where the binaries are that containers may run.
    pub binaries: PathBuf,
    /// A client with an administrator's rights.
    pub client: kube::Client,
    /// The API server's URL, for the pods.
    pub server: String,
    /// The authority that signs everything, in PEM.
    pub authority_pem: String,
    /// The node's own certificate and key as a server.
    pub serving: Issued,
    /// The certificate with which the API server talks to nodes; no other client is served.
    pub api_server_certificate_pem: String,
    /// Spawns the pods' processes.
    pub processes: Processes,
    /// A kubelet's timings, or quicker ones.
    pub timings: Timings,
}

impl NodeOptions {
    /// The `number`-th node (from 1) of the control plane under `dir`, named `name`: address 127.0.1.`number`, root `dir/nodes/NAME`, logs
    /// in `dir/logs/pods`, binaries from the directory of the running executable.
    ///
    /// # Errors
    /// When the certificates cannot be made or read, or the executable's directory is unknown.
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
        })
    }

    fn context(self) -> Context {
        Context {
            addresses: PodAddresses::of_node(self.address),
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
    /// Registers the node and runs it until `shutdown`. When this returns, the Node object is there and Ready.
    ///
    /// # Errors
    /// When the node's directories, its certificate or its address cannot be used, or the API server does not accept it.
    pub async fn start(options: NodeOptions, shutdown: CancellationToken) -> Result<Self, SandboxError> {
        for dir in [&options.root, &options.logs] {
            std::fs::create_dir_all(dir).map_err(SandboxError::file("create", dir))?;
        }
        let server = Server::bind(&options).await?;
        let endpoint = server.address()?;
        let context = Arc::new(options.context());
        let asked = || format!("register node {}", context.name);
        let version = context.client.apiserver_version().await.map_err(SandboxError::api(asked()))?;
        let registration = Registration::new(Arc::clone(&context), endpoint, &version.git_version);
        registration.refresh().await.map_err(SandboxError::api(asked()))?;
        let this = Self { name: context.name.clone(), endpoint, tasks: TaskTracker::new() };
        this.tasks.spawn(registration.run(shutdown.clone()));
        this.tasks.spawn(server.run(Arc::clone(&context), shutdown.clone()));
        this.tasks.spawn(Pods::new(context).run(shutdown));
        this.tasks.close();
        Ok(this)
    }

    /// The Node object's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its HTTPS server listens.
    pub fn endpoint(&self) -> SocketAddr {
        self.endpoint
    }

    /// Returns once the node has ended after the shutdown given to [`Node::start`]: no process of a pod is left then. Takes at most
    /// [`Timings::stop_within`] and a little.
    pub async fn stopped(&self) {
        self.tasks.wait().await;
    }
}
