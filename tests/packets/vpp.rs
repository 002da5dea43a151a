//! The VPP of a node in a lab: simulated, or the real one that `MAGLEV_VPP` names. The tests program both over the API socket.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use maglev_model::{
    actual::{ActualConf, VppVip},
    counters::VipPackets,
    event::Events,
    vip::{Encap, TableLength, Weight},
};
use maglev_sandbox::{
    packets::{Namespace, VppPort, forwarding},
    processes::{Launch, Process, Processes},
    real_vpp::{RealVpp, VppProgram},
};
use maglev_vpp::{
    lb::{Lb, LbReading},
    session::SessionOptions,
    stats::{StatsClient, StatsIndexes, StatsReading},
};
use maglev_vpp_simulator::{Simulator, SimulatorOptions};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// MTU of the VPPs' interfaces towards the backends.
const MTU: u16 = 1500;
/// Number of buckets of each VIP.
pub const TABLE_LENGTH: u32 = 1024;
/// Time limit for the end of a real VPP.
const STOP_WITHIN: Duration = Duration::from_secs(5);
const STATS_WITHIN: Duration = Duration::from_secs(5);

/// Settings of a VIP.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub encap: Encap,
    /// VPP's `src_ip_sticky`.
    pub client_ip: bool,
}

pub struct Vpp {
    kind: Kind,
    api_socket: PathBuf,
}

enum Kind {
    Simulated { simulator: Arc<Simulator>, packets_socket: PathBuf },
    Real(Box<RealNode>),
}

struct RealNode {
    vpp: RealVpp,
    launch: Launch,
    processes: Processes,
    process: Mutex<Option<Process>>,
}

impl Vpp {
    /// Starts a simulated VPP. Its sockets are in `dir`.
    pub async fn simulated(dir: &Path, node: u8, shutdown: CancellationToken) -> Self {
        let api_socket = dir.join(format!("{node}.sock"));
        let options = SimulatorOptions { mtu: MTU, ..SimulatorOptions::new(&api_socket) };
        let simulator = Arc::new(Simulator::start(options).await.unwrap());
        let packets_socket = dir.join(format!("{node}.packets.sock"));
        forwarding::serve(Arc::clone(&simulator), &packets_socket, shutdown).unwrap();
        let vpp = Self { kind: Kind::Simulated { simulator, packets_socket }, api_socket };
        vpp.configure().await;
        vpp
    }

    /// Starts a real VPP in its namespace, which must exist.
    pub async fn real(dir: &Path, node: u8, program: VppProgram, processes: Processes) -> Self {
        let name = node_name(node);
        let vpp = RealVpp {
            program,
            number: node + 1,
            namespace: Namespace::node(dir, &name),
            config: dir.join(format!("{name}/etc")),
            sockets: dir.join(&name),
            log: dir.join(format!("{name}.log")),
            name,
        };
        let launch = vpp.prepare().unwrap();
        let node = RealNode { launch, processes, process: Mutex::new(None), vpp };
        let vpp = Self { api_socket: node.vpp.api_socket(), kind: Kind::Real(Box::new(node)) };
        vpp.start_again().await;
        vpp
    }

    pub fn api_socket(&self) -> &Path {
        &self.api_socket
    }

    pub fn port(&self) -> VppPort {
        match &self.kind {
            Kind::Simulated { packets_socket, .. } => VppPort::Simulated(packets_socket.clone()),
            Kind::Real(_) => VppPort::Real(self.api_socket.clone()),
        }
    }

    pub async fn stop(&self) {
        match &self.kind {
            Kind::Simulated { simulator, .. } => simulator.stop().await.unwrap(),
            Kind::Real(node) => {
                let process = node.process.lock().await.take().expect("VPP is running");
                process.stop(STOP_WITHIN).await;
            }
        }
    }

    pub async fn is_running(&self) -> bool {
        match &self.kind {
            Kind::Simulated { simulator, .. } => simulator.is_running().await,
            Kind::Real(node) => node.process.lock().await.as_ref().is_some_and(|process| process.exited().is_none()),
        }
    }

    /// Starts VPP after [`Self::stop`], without VIPs.
    pub async fn start_again(&self) {
        match &self.kind {
            Kind::Simulated { simulator, .. } => {
                simulator.start_again().await.unwrap();
                self.configure().await;
            }
            // VPP's configuration sets its own addresses as sources, to which it sends the ICMP errors of packets in tunnels.
            Kind::Real(node) => {
                let process = node.processes.spawn(node.launch.clone()).await.unwrap();
                node.vpp.wait_until_ready(&process).await.unwrap();
                *node.process.lock().await = Some(process);
            }
        }
    }

    async fn lb(&self) -> Lb {
        Lb::connect(&self.api_socket, SessionOptions::new("test", Events::discard())).await.unwrap()
    }

    async fn configure(&self) {
        self.lb().await.set_conf(conf()).await.unwrap();
    }

    /// True if servers have weights; without them, a server of weight 0 is absent.
    pub async fn has_weights(&self) -> bool {
        self.lb().await.info().capabilities.weights
    }

    pub async fn add_vip(&self, vip: SocketAddr, protocol: u8, settings: Settings, weights: &[(IpAddr, u8)]) {
        let (lb, id) = (self.lb().await, id(vip, protocol));
        let length = TableLength::new(TABLE_LENGTH).unwrap();
        lb.add_vip(id.key().unwrap(), settings.encap, settings.client_ip, length).await.unwrap();
        for (server, weight) in weights {
            if lb.info().capabilities.weights || *weight > 0 {
                lb.add_as(id, *server, Weight::new(*weight).unwrap(), false).await.unwrap();
            }
        }
    }

    /// Removes a VIP with its servers.
    pub async fn remove_vip(&self, vip: SocketAddr, protocol: u8) {
        let (lb, id) = (self.lb().await, id(vip, protocol));
        let servers: Vec<_> = lb.read().await.unwrap().vips[&id].ases.keys().copied().collect();
        for server in servers {
            lb.remove_as(id, server, true).await.unwrap();
        }
        lb.remove_vip(id).await.unwrap();
    }

    /// Sets the weight of a server; `flush` drops its flows.
    pub async fn set_weight(&self, vip: SocketAddr, protocol: u8, server: IpAddr, weight: u8, flush: bool) {
        let (lb, id) = (self.lb().await, id(vip, protocol));
        let set = match (lb.info().capabilities.weights, weight) {
            (true, _) => lb.set_weight(id, server, Weight::new(weight).unwrap(), flush).await,
            (false, 0) => lb.remove_as(id, server, flush).await,
            (false, _) => lb.add_as(id, server, Weight::PRESENT, false).await,
        };
        set.unwrap();
    }

    /// The counters of a VIP.
    pub async fn packets(&self, vip: SocketAddr, protocol: u8) -> VipPackets {
        let id = id(vip, protocol);
        match &self.kind {
            Kind::Simulated { simulator, .. } => simulator.packets(id).unwrap(),
            Kind::Real(node) => {
                let index = self.lb().await.read().await.unwrap().vips[&id].pool_index.unwrap();
                let indexes = StatsIndexes { vips: [index].into(), ..StatsIndexes::default() };
                node.read(&indexes).vips[&index]
            }
        }
    }

    /// The number of packets to a server since VPP's start. A real VPP must have the server.
    pub async fn sent(&self, server: IpAddr) -> u64 {
        match &self.kind {
            Kind::Simulated { simulator, .. } => simulator.sent(server).packets,
            Kind::Real(node) => {
                let index = self.lb().await.read_all(LbReading::default()).await.unwrap().routes[&server];
                let indexes = StatsIndexes { via: BTreeSet::from([index]), ..StatsIndexes::default() };
                node.read(&indexes).via[&index].packets
            }
        }
    }
}

impl RealNode {
    fn read(&self, indexes: &StatsIndexes) -> StatsReading {
        let client = StatsClient::open(&self.vpp.stats_socket(), STATS_WITHIN).unwrap();
        StatsReading::read(&client, indexes).unwrap()
    }
}

/// The name of a node's namespace.
pub fn node_name(node: u8) -> String {
    format!("node-{}", char::from(b'a' + node))
}

/// The settings of simulated VPPs.
pub fn conf() -> ActualConf {
    ActualConf {
        ipv4_source: Ipv4Addr::new(192, 0, 2, 1),
        ipv6_source: "2001:db8:1::1".parse().unwrap(),
        sticky_buckets_per_core: 1024,
        flow_timeout: 40,
    }
}

pub fn id(vip: SocketAddr, protocol: u8) -> VppVip {
    let length = if vip.is_ipv4() { 32 } else { 128 };
    VppVip { address: vip.ip(), length, protocol, port: vip.port() }
}
