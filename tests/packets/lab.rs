//! A network with a client, four backends, and one or more simulated VPPs without agents.

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    path::Path,
    process::{Output, Stdio},
    sync::Arc,
    time::Duration,
};

use maglev_model::actual::{ActualConf, VppVip};
use maglev_sandbox::demo_backend::{DemoBackends, DemoOptions, Mode};
use maglev_sandbox::packets::{self, Namespace, Network, Packets, PacketsOptions, forwarding};
use maglev_vpp_simulator::{Prefix, Simulator, SimulatorOptions, VipSettings};
use tempfile::TempDir;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// Maximum time that a test waits for a condition.
pub const LIMIT: Duration = Duration::from_secs(30);
/// Time limit of one connection or datagram.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit of an attempt to reach a VIP that a backend may not have yet. Until then, its packets leave the backend.
const PROBE_TIMEOUT: Duration = Duration::from_millis(200);

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const GRE4: VipSettings =
    VipSettings { encap: 0, dscp: 0, srv_type: 0, target_port: 0, table_length: 1024, src_ip_sticky: false };

/// MTU of the VPPs' interfaces towards the backends.
const MTU: u16 = 1500;
/// Number of backends: `web-1` to `web-4`.
pub const BACKENDS: u8 = 4;

pub struct Lab {
    pub packets: Packets,
    pub backends: DemoBackends,
    pub vpps: Vec<Arc<Simulator>>,
    pub client: Namespace,
    pub dir: TempDir,
    _shutdown: tokio_util::sync::DropGuard,
}

/// True if this machine allows network namespaces. Otherwise prints that the test `name` is not run.
pub fn is_allowed(name: &str) -> bool {
    let Some(reason) = packets::missing() else { return true };
    // Written directly, since the test harness captures the output of `eprintln!`.
    io::stderr().write_all(format!("{name} is NOT RUN: {reason}\n").as_bytes()).unwrap();
    false
}

/// A lab, unless this machine does not allow one.
macro_rules! lab_or_return {
    ($name:literal, $nodes:literal) => {
        if crate::lab::is_allowed($name) { crate::lab::Lab::start($nodes).await } else { return }
    };
}
pub(crate) use lab_or_return;

impl Lab {
    pub async fn start(nodes: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shutdown = CancellationToken::new();
        let backends = (1..=BACKENDS).map(|n| (format!("web-{n}"), SocketAddr::from((server(n), 0))));
        let options = DemoOptions { backends: backends.collect(), ..DemoOptions::standard(dir.path()) };
        let names: Vec<_> = options.backends.iter().map(|(name, _)| name.clone()).collect();
        let network = Network::create(dir.path(), &names).await.unwrap();
        let client = network.client().clone();
        let backends = DemoBackends::start(options, shutdown.clone()).await.unwrap();
        let (mut vpps, mut sockets) = (Vec::new(), Vec::new());
        for node in 0..nodes {
            let options =
                SimulatorOptions { mtu: MTU, ..SimulatorOptions::new(dir.path().join(format!("{node}.sock"))) };
            let vpp = Arc::new(Simulator::start(options).await.unwrap());
            let socket = dir.path().join(format!("{node}.packets.sock"));
            vpp.edit(|lb| lb.set_conf(conf())).unwrap();
            forwarding::serve(Arc::clone(&vpp), &socket, shutdown.clone()).unwrap();
            vpps.push(vpp);
            sockets.push(socket);
        }
        let options = PacketsOptions { withdraw_after: Duration::from_millis(200), ..PacketsOptions::new(sockets) };
        let packets = Packets::start(network, &options, &backends);
        Self { packets, backends, vpps, client, dir, _shutdown: shutdown.drop_guard() }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Adds a VIP to all VPPs, with the servers in `weights`, and waits until it answers.
    pub async fn add_vip(&self, vip: SocketAddr, protocol: u8, settings: VipSettings, weights: &[(IpAddr, u8)]) {
        for vpp in &self.vpps {
            add_vip(vpp, vip, protocol, settings, weights);
        }
        self.until_served(vip, protocol).await;
    }

    /// Waits until all backends listen on the VIP, and packets go to all VPPs.
    pub async fn until_served(&self, vip: SocketAddr, protocol: u8) {
        self.until_routed(vip, 0..self.vpps.len()).await;
        for backend in 1..=BACKENDS {
            let namespace = Namespace::backend(self.dir(), &format!("web-{backend}"));
            let connect = move || match protocol {
                UDP => exchange_datagram(any(vip), vip, PROBE_TIMEOUT).map(drop),
                _ => TcpStream::connect_timeout(&vip, PROBE_TIMEOUT).map(drop),
            };
            until("the backends listen", async || namespace.run(connect).await.is_ok()).await;
        }
    }

    /// Waits until packets to the VIP go to exactly these nodes.
    pub async fn until_routed(&self, vip: SocketAddr, nodes: impl IntoIterator<Item = usize>) {
        let nodes: Vec<_> = nodes.into_iter().collect();
        until("the router has noticed the change", async || self.packets.nodes(vip.ip()) == nodes).await;
    }

    /// Sets the weight of a server on all VPPs; `is_flush` drops its flows.
    pub fn set_weight(&self, vip: SocketAddr, protocol: u8, server: IpAddr, weight: u8, is_flush: bool) {
        let id = id(vip, protocol);
        for vpp in &self.vpps {
            vpp.edit(|lb| {
                lb.set_weight(id, server, weight).unwrap();
                if is_flush {
                    lb.flush(id, server);
                }
            });
        }
    }

    pub fn set_mode(&self, backend: u8, mode: Mode) {
        self.backends.set_mode(&format!("web-{backend}"), mode).unwrap();
    }

    /// Runs `task` on a thread in the client's namespace.
    pub async fn in_client<T: Send + 'static>(
        &self,
        task: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        self.client.run(task).await
    }

    /// Sends one HTTP request on a new connection. Returns the body.
    pub async fn get(&self, vip: SocketAddr) -> io::Result<String> {
        self.in_client(move || get(vip)).await
    }

    /// The names of the backends that answer `count` new connections.
    pub async fn names(&self, vip: SocketAddr, count: usize) -> Vec<String> {
        let get_all = move || (0..count).map(|_| get(vip).map(|body| first_word(&body))).collect::<io::Result<_>>();
        self.in_client(get_all).await.unwrap()
    }

    /// Sends a datagram from `port` (0: any) and returns the answer.
    pub async fn datagram(&self, vip: SocketAddr, port: u16) -> io::Result<String> {
        self.in_client(move || datagram(vip, port)).await
    }

    /// Runs `test` while the VPP of only one node is up, for each node. `add` adds the VIP again to a VPP that was stopped.
    pub async fn on_each_node(&self, vip: SocketAddr, add: impl Fn(&Simulator), test: impl AsyncFn()) {
        for running in 0..self.vpps.len() {
            self.start_again(running, &add).await;
            for (_, stopped) in self.vpps.iter().enumerate().filter(|(node, _)| *node != running) {
                stopped.stop().await.unwrap();
            }
            self.until_routed(vip, [running]).await;
            test().await;
        }
    }

    /// Starts the VPP of a node, unless it is up, with the VIPs that `add` adds. Nothing sees it without them.
    pub async fn start_again(&self, node: usize, add: impl Fn(&Simulator)) {
        let vpp = &self.vpps[node];
        if !vpp.is_running().await {
            vpp.start_again().await.unwrap();
            vpp.edit(|lb| lb.set_conf(conf())).unwrap();
            add(vpp);
        }
    }

    /// A program in the client's namespace.
    pub fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.client.name(), program]).args(args);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    pub async fn output(&self, program: &str, args: &[&str]) -> Output {
        tokio::time::timeout(LIMIT, self.command(program, args).output()).await.expect("the program ends").unwrap()
    }
}

/// The IPv4 address of `web-N`.
pub fn server(number: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 2, number).into()
}

/// The IPv6 address of `web-N`, for GRE6.
pub fn server6(number: u8) -> IpAddr {
    packets::backend_ipv6(usize::from(number) - 1).into()
}

/// All servers of [`server`] with weight 10.
pub fn all_servers() -> Vec<(IpAddr, u8)> {
    (1..=BACKENDS).map(|number| (server(number), 10)).collect()
}

pub fn add_vip(vpp: &Simulator, vip: SocketAddr, protocol: u8, settings: VipSettings, weights: &[(IpAddr, u8)]) {
    vpp.edit(|lb| {
        lb.add_vip(Prefix::host(vip.ip()), protocol, vip.port(), settings).unwrap();
        for (server, weight) in weights {
            lb.add_as(id(vip, protocol), *server, *weight).unwrap();
        }
    });
}

pub fn id(vip: SocketAddr, protocol: u8) -> VppVip {
    let length = Prefix::host(vip.ip()).length();
    VppVip { address: vip.ip(), length, protocol, port: vip.port() }
}

/// The settings of all VPPs.
pub fn conf() -> ActualConf {
    ActualConf {
        ipv4_source: Ipv4Addr::new(192, 0, 2, 1),
        ipv6_source: "2001:db8:1::1".parse().unwrap(),
        sticky_buckets_per_core: 1024,
        flow_timeout: 40,
    }
}

/// Sends one HTTP request on a new connection. Returns the body.
pub fn get(vip: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&vip, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: vip\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (_, body) = response.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(body.to_owned())
}

/// Sends a datagram from `port` (0: any) and returns the answer.
pub fn datagram(vip: SocketAddr, port: u16) -> io::Result<String> {
    datagram_from(SocketAddr::new(any(vip).ip(), port), vip)
}

/// Sends a datagram from an address of the client and returns the answer.
pub fn datagram_from(local: SocketAddr, vip: SocketAddr) -> io::Result<String> {
    exchange_datagram(local, vip, TIMEOUT)
}

/// Any local address and port, for a socket to `vip`.
fn any(vip: SocketAddr) -> SocketAddr {
    if vip.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() }
}

fn exchange_datagram(local: SocketAddr, vip: SocketAddr, timeout: Duration) -> io::Result<String> {
    let socket = UdpSocket::bind(local)?;
    socket.connect(vip)?;
    socket.set_read_timeout(Some(timeout))?;
    socket.send(b"hello")?;
    let mut buffer = [0; 256];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

pub fn first_word(text: &str) -> String {
    text.split_whitespace().next().unwrap_or_default().to_owned()
}

/// The number of times that each name occurs.
pub fn counts(names: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// Waits for a condition.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("not within 30 s: {what}"));
}
