//! Packets: the sandbox's clients and demo backends in network namespaces of their own, and a router between them and the
//! VPPs, which are simulated or real. This stands for the network and, with simulated VPPs, the data plane of a real cluster.
//!
//! ```text
//!  namespace CLIENT        this process (router)            process VPP          namespace BACKEND
//!  curl ─▶ tun0 ─────────▶ ECMP over the nodes ──packets.sock──▶ lb plugin
//!            ▲                         GRE, L3DSR ◀─────────────────┘
//!            │             decapsulation ───────────────────────────────────────▶ tun0 ─▶ VIP on lo ─▶ HTTP
//!            └──────────────────────────── direct return ◀───────────────────────── tun0 ◀──────────────┘
//! ```
//!
//! A real VPP has a namespace, too, with a tun device for its packets in place of the socket (`real_node`). Nodes take packets
//! out of tunnels as backends do, and pass them to their pods (`pod_network`).
//!
//! All packets between namespaces pass through this process: there is no link between a namespace and the host, and the
//! host's routes, forwarding and firewall are not touched.

mod announced_vips;
mod announcer;
pub mod client;
pub mod forwarding;
mod frame;
mod header;
mod namespace;
mod node_tunnels;
mod pod_network;
mod real_node;
mod requirements;
mod router;
mod routes;
mod service_proxy;
mod service_rules;
mod translation;

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tun_rs::{AsyncDevice, DeviceBuilder};

use crate::demo_backend::DemoBackends;
use announcer::Announcer;
use node_tunnels::{NodeAnswers, NodeTunnels};
use real_node::RealNodeLink;
use router::{BackendPort, Backends, ClientPort, NodeLink, PacketCounters, QUEUE, Receiver};
use routes::RouteTable;

pub use namespace::{Namespace, remove_earlier};
pub use pod_network::{PodLink, PodNetwork};
pub use requirements::missing;
pub use router::PacketCounts;

use namespace::Namespaces;

/// The tun device of each namespace.
pub(crate) const DEVICE: &str = "tun0";
/// Address of the client and default route.
const CLIENT: [&str; 2] = [
    "address add 198.51.100.1/24 dev tun0\nroute add 0.0.0.0/0 dev tun0\n",
    "address add 2001:db8:c::1/64 dev tun0\nroute add ::/0 dev tun0\n",
];
/// Default routes of a backend, with segments that leave room for GRE6 (44 bytes) in packets of 1500 bytes. Real backends need
/// the same: VPP never sees the packet with which a backend announces its segment size.
const BACKEND: [&str; 2] = ["route add 0.0.0.0/0 dev tun0 advmss 1416\n", "route add ::/0 dev tun0 advmss 1396\n"];
/// Prefix of the IPv6 addresses of the backends, which only the VPPs of the sandbox reach.
const BACKEND_PREFIX: Ipv6Addr = Ipv6Addr::new(0xfd6d, 0x6167, 0x6c65, 0x7600, 0, 0, 0, 0);

/// Prefix of the IPv4 addresses of the backends that the clients reach. The addresses in the Backends are loopback addresses,
/// which mean a namespace itself.
const BACKEND_PREFIX_V4: Ipv4Addr = Ipv4Addr::new(10, 127, 2, 0);

/// `--packets` of `maglev-sandbox up`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum PacketsMode {
    /// If this machine and user allow it.
    #[default]
    Auto,
    On,
    Off,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PacketsError {
    #[error("{reason}")]
    Missing { reason: String },
    #[error("cannot run the program ip of iproute2")]
    Spawn {
        #[source]
        source: io::Error,
    },
    #[error("`{command}` failed: {stderr}")]
    Ip { command: String, stderr: String },
    #[error("cannot create a tun device in the network namespace {namespace}")]
    Device {
        namespace: String,
        #[source]
        source: io::Error,
    },
}

impl PacketsError {
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "Missing",
            Self::Spawn { .. } => "SpawnFailed",
            Self::Ip { .. } => "IpFailed",
            Self::Device { .. } => "DeviceFailed",
        }
    }
}

/// The place where the router finds the VPP of a node.
#[derive(Clone, Debug)]
pub enum VppPort {
    /// The packet socket of a simulated VPP ([`forwarding::serve`]).
    Simulated(PathBuf),
    /// The API socket of a real VPP in the next namespace of [`Network::create`]'s `nodes`.
    Real(PathBuf),
}

/// The parts that packets pass.
#[derive(Clone, Debug)]
pub struct PacketsOptions {
    /// The nodes' VPPs.
    pub vpps: Vec<VppPort>,
    /// Time after which the backends remove a VIP that no VPP has any more. A restarted VPP has no VIPs for some seconds.
    pub withdraw_after: Duration,
    /// Names and addresses of the nodes whose pods have a network.
    pub nodes: Vec<(String, Ipv4Addr)>,
}

impl PacketsOptions {
    /// Options without nodes that have pods.
    pub fn new(vpps: Vec<VppPort>) -> Self {
        Self { vpps, withdraw_after: Duration::from_secs(10), nodes: Vec::new() }
    }
}

/// The network namespaces and their tun devices. Removed when dropped.
pub struct Network {
    // The devices are closed before their namespaces are removed.
    client: Arc<AsyncDevice>,
    backends: Vec<AsyncDevice>,
    nodes: Vec<AsyncDevice>,
    namespaces: Namespaces,
    dir: PathBuf,
}

impl Network {
    /// Creates the namespaces of the sandbox in `dir`, for the clients, each of `backends`, and each of `nodes`, which have real
    /// VPPs. Removes those of an earlier sandbox in `dir`.
    ///
    /// # Errors
    /// A requirement is not met, or a step failed. Nothing remains.
    pub async fn create(dir: &Path, backends: &[String], nodes: &[String]) -> Result<Self, PacketsError> {
        if let Some(reason) = missing() {
            return Err(PacketsError::Missing { reason });
        }
        remove_earlier(dir)?;
        let namespaces = Namespaces::create(dir, backends, nodes)?;
        let client = open_device(namespaces.client()).await?;
        configure(namespaces.client(), CLIENT)?;
        let (mut backends, mut nodes) = (Vec::new(), Vec::new());
        for namespace in namespaces.backends() {
            backends.push(open_device(namespace).await?);
            configure(namespace, BACKEND)?;
        }
        for namespace in namespaces.nodes() {
            nodes.push(open_device(namespace).await?);
        }
        Ok(Self { client: Arc::new(client), backends, nodes, namespaces, dir: dir.to_owned() })
    }

    /// The namespace of the clients.
    pub fn client(&self) -> &Namespace {
        self.namespaces.client()
    }
}

/// Opens the tun device of a namespace and sets it up. The device disappears with this process.
async fn open_device(namespace: &Namespace) -> Result<AsyncDevice, PacketsError> {
    let device = namespace.run(|| DeviceBuilder::new().name(DEVICE).enable(false).build_async()).await;
    let failed = |source| PacketsError::Device { namespace: namespace.name().to_owned(), source };
    let device = device.map_err(failed)?;
    namespace.configure(&format!("link set {DEVICE} up mtu 1500 txqueuelen 5000\n"))?;
    Ok(device)
}

/// Runs the commands of `ip` for IPv4 and those for IPv6, which a machine without IPv6 refuses.
fn configure(namespace: &Namespace, [ipv4, ipv6]: [&str; 2]) -> Result<(), PacketsError> {
    namespace.configure(ipv4)?;
    if let Err(error) = namespace.configure(ipv6) {
        tracing::warn!(namespace = namespace.name(), %error, "no IPv6 in a network namespace of the sandbox");
    }
    Ok(())
}

/// The IPv6 address of the backend with this index: `fd6d:6167:6c65:7600::1` for the first one.
pub fn backend_ipv6(index: usize) -> Ipv6Addr {
    let number = u128::try_from(index).unwrap_or(u128::MAX).saturating_add(1);
    Ipv6Addr::from_bits(BACKEND_PREFIX.to_bits() | number)
}

/// The IPv4 address of the backend with this index for tunnels from the clients' namespace: `10.127.2.1` for the first one.
pub fn backend_ipv4(index: usize) -> Ipv4Addr {
    let number = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
    Ipv4Addr::from_bits(BACKEND_PREFIX_V4.to_bits() | number)
}

/// The running router, with the servers of the backends on the VIPs.
pub struct Packets {
    /// Removed when dropped.
    namespaces: Option<Namespaces>,
    backends: Arc<Backends>,
    pods: Arc<PodNetwork>,
    counters: Arc<PacketCounters>,
    table: Arc<RouteTable>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl Packets {
    /// Starts to move packets. `backends` are those of [`Network::create`], in the same order.
    pub fn start(network: Network, options: &PacketsOptions, backends: &DemoBackends) -> Self {
        let Network { client, backends: devices, nodes, namespaces, dir } = network;
        let (counters, shutdown, tasks) = (Arc::default(), CancellationToken::new(), TaskTracker::new());
        let table = Arc::new(RouteTable::new(options.vpps.len()));
        let answers = NodeAnswers::open().map(Arc::new).inspect_err(log_no_tunnels).ok();
        let pods = PodNetwork::new(dir, Arc::clone(&client), answers.clone(), shutdown.clone(), tasks.clone());
        let (namespaces, pods, ports) = (Some(namespaces), Arc::new(pods), Arc::default());
        let table_of_router = Arc::clone(&table);
        let mut packets = Self { namespaces, backends: ports, pods, counters, table: table_of_router, shutdown, tasks };
        let mut ports = packets.start_backends(&client, devices, backends, answers.as_ref());
        ports.extend(options.nodes.iter().map(|(name, address)| {
            (IpAddr::V4(*address), Arc::new(BackendPort::node(name, Arc::clone(&packets.pods))))
        }));
        packets.backends = Arc::new(ports);
        let queues = packets.start_links(&options.vpps, nodes);
        let (routes_rx, counters) = (table.subscribe(), Arc::clone(&packets.counters));
        if let Ok(tunnels) = NodeTunnels::open().inspect_err(log_no_tunnels) {
            let tunnels = tunnels.run(Arc::clone(&packets.backends));
            packets.spawn(async move { log_end(tunnels.await) });
        }
        let client =
            ClientPort { device: client, routes_rx, queues, backends: Arc::clone(&packets.backends), counters };
        packets.spawn(async move { log_end(client.run().await) });
        let in_namespaces = packets.backend_namespaces().into_iter().zip(backends.servers());
        let announcer = Announcer {
            routes_rx: table.subscribe(),
            withdraw_after: options.withdraw_after,
            backends: in_namespaces.collect(),
        };
        packets.tasks.spawn(announcer.run(packets.shutdown.clone()));
        packets.tasks.close();
        packets
    }

    fn backend_namespaces(&self) -> Vec<Namespace> {
        self.namespaces.as_ref().map(|namespaces| namespaces.backends().to_vec()).unwrap_or_default()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            shutdown.run_until_cancelled(task).await;
        });
    }

    fn start_backends(
        &self,
        client: &Arc<AsyncDevice>,
        devices: Vec<AsyncDevice>,
        backends: &DemoBackends,
        nodes: Option<&Arc<NodeAnswers>>,
    ) -> Backends {
        let mut ports = HashMap::new();
        for (index, (device, (_, address, _))) in devices.into_iter().zip(backends.list()).enumerate() {
            let port = Arc::new(BackendPort::new(device));
            ports.insert(address.ip(), Arc::clone(&port));
            ports.insert(IpAddr::V4(backend_ipv4(index)), Arc::clone(&port));
            ports.insert(IpAddr::V6(backend_ipv6(index)), Arc::clone(&port));
            let answers = port.run(Arc::clone(client), nodes.cloned());
            self.spawn(async move { log_end(answers.await) });
        }
        ports
    }

    /// Starts the connections to the VPPs. Returns their queues.
    fn start_links(&self, vpps: &[VppPort], devices: Vec<AsyncDevice>) -> Vec<mpsc::Sender<bytes::Bytes>> {
        let (mut queues, mut devices) = (Vec::new(), devices.into_iter());
        for (number, vpp) in vpps.iter().enumerate() {
            let (queue, queue_rx) = mpsc::channel(QUEUE);
            queues.push(queue);
            let (table, backends) = (Arc::clone(&self.table), Arc::clone(&self.backends));
            let (routes_rx, counters) = (table.subscribe(), Arc::clone(&self.counters));
            let receiver = Receiver { number, table, backends, counters, routes_rx };
            match vpp.clone() {
                VppPort::Simulated(socket) => self.spawn(NodeLink { socket, queue_rx, receiver }.run()),
                VppPort::Real(api_socket) => {
                    let device = devices.next().expect("each real VPP has a namespace");
                    let link = RealNodeLink { device, api_socket, queue_rx, receiver };
                    self.spawn(async move { log_end(link.run().await) });
                }
            }
        }
        queues
    }

    /// Loses packets in tunnels to the backend with this index that have more than `largest` bytes without the encapsulation.
    /// With 0 the backend does not decapsulate.
    pub fn limit_tunnel(&self, index: usize, largest: usize) {
        if let Some(port) = self.backends.get(&backend_ipv6(index).into()) {
            port.limit(largest);
        }
    }

    /// The network of the pods.
    pub fn pods(&self) -> &Arc<PodNetwork> {
        &self.pods
    }

    pub fn counts(&self) -> PacketCounts {
        self.counters.counts()
    }

    /// The nodes that get packets to `address`: their VPPs are up and have a VIP on it.
    pub fn nodes(&self, address: IpAddr) -> Vec<usize> {
        self.table.subscribe().borrow().nodes(address).to_vec()
    }

    /// Stops all tasks and removes the namespaces.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        self.tasks.wait().await;
        self.namespaces.take();
    }
}

impl Drop for Packets {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn log_no_tunnels(error: &io::Error) {
    tracing::warn!(%error, "no raw sockets: path probes of the sandbox's agents are not answered");
}

fn log_end(ended: io::Result<()>) {
    if let Err(error) = ended {
        tracing::warn!(%error, "a tun device or socket of the sandbox has failed");
    }
}
