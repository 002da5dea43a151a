//! A network with a client, four backends, and one or more VPPs without agents, simulated or real.

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    path::Path,
    process::{Output, Stdio},
    sync::Once,
    time::Duration,
};

use maglev_model::vip::Encap;
use maglev_sandbox::demo_backend::{DemoBackends, DemoOptions, Mode};
use maglev_sandbox::packets::{self, Namespace, Network, Packets, PacketsOptions};
use maglev_sandbox::processes::Processes;
use maglev_sandbox::real_vpp::VppProgram;
use tempfile::TempDir;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::vpp::{Settings, Vpp, node_name};

/// The environment variable with the path of a real VPP.
const VPP: &str = "MAGLEV_VPP";
/// Maximum time that a test waits for a condition.
pub const LIMIT: Duration = Duration::from_secs(30);
/// Time limit of one connection or datagram.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit of an attempt to reach a VIP that a backend may not have yet. Until then, its packets leave the backend.
pub const PROBE_TIMEOUT: Duration = Duration::from_millis(200);

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const GRE4: Settings = Settings { encap: Encap::Gre4, client_ip: false };

/// Number of backends: `web-1` to `web-4`.
pub const BACKENDS: u8 = 4;

pub struct Lab {
    pub packets: Packets,
    pub backends: DemoBackends,
    pub vpps: Vec<Vpp>,
    pub client: Namespace,
    pub dir: TempDir,
    _shutdown: tokio_util::sync::DropGuard,
}

/// True if this machine allows network namespaces. Otherwise prints that the test `name` is not run.
pub fn is_allowed(name: &str) -> bool {
    let Some(reason) = packets::missing() else { return true };
    print(&format!("{name} is NOT RUN: {reason}\n"));
    false
}

/// Written directly, since the test harness captures the output of `eprintln!`.
pub fn print(line: &str) {
    io::stderr().write_all(line.as_bytes()).unwrap();
}

/// A lab with simulated VPPs, unless this machine does not allow one.
macro_rules! lab_or_return {
    ($name:literal, $nodes:literal) => {
        if crate::lab::is_allowed($name) { crate::lab::Lab::start($nodes, None).await } else { return }
    };
}
pub(crate) use lab_or_return;

/// Makes two tests of each function, which takes a lab: one with simulated VPPs, and one with the real VPP of `MAGLEV_VPP`.
macro_rules! on_each_vpp {
    ($($nodes:literal => $test:ident,)+) => {
        mod simulated {
            $(#[tokio::test]
            async fn $test() {
                crate::lab::on_simulated_vpp(stringify!($test), $nodes, super::$test).await;
            })+
        }
        mod real {
            $(#[tokio::test]
            async fn $test() {
                crate::lab::on_real_vpp(stringify!($test), $nodes, super::$test).await;
            })+
        }
    };
}
pub(crate) use on_each_vpp;

pub async fn on_simulated_vpp(name: &str, nodes: u8, test: impl AsyncFnOnce(Lab)) {
    if is_allowed(name) {
        test(Lab::start(nodes, None).await).await;
    }
}

pub async fn on_real_vpp(name: &str, nodes: u8, test: impl AsyncFnOnce(Lab)) {
    static SKIPPED: Once = Once::new();
    let Some(binary) = std::env::var_os(VPP) else {
        SKIPPED.call_once(|| print("the tests on a real VPP are NOT RUN: set MAGLEV_VPP to the path of a vpp\n"));
        return;
    };
    let program = VppProgram::find(Path::new(&binary), None).unwrap();
    if is_allowed(name) {
        test(Lab::start(nodes, Some(program)).await).await;
    }
}

impl Lab {
    /// Starts a lab whose nodes have real VPPs if a `program` is given.
    pub async fn start(nodes: u8, program: Option<VppProgram>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shutdown = CancellationToken::new();
        let backends = (1..=BACKENDS).map(|n| (format!("web-{n}"), SocketAddr::from((server(n), 0))));
        let options = DemoOptions { backends: backends.collect(), ..DemoOptions::standard(dir.path()) };
        let names: Vec<_> = options.backends.iter().map(|(name, _)| name.clone()).collect();
        let real: Vec<_> = (0..nodes).filter(|_| program.is_some()).map(node_name).collect();
        let network = Network::create(dir.path(), &names, &real).await.unwrap();
        let client = network.client().clone();
        let backends = DemoBackends::start(options, shutdown.clone()).await.unwrap();
        let (mut vpps, processes) = (Vec::new(), Processes::start().unwrap());
        for node in 0..nodes {
            vpps.push(match program.clone() {
                None => Vpp::simulated(dir.path(), node, shutdown.clone()).await,
                Some(program) => Vpp::real(dir.path(), node, program, processes.clone()).await,
            });
        }
        let ports = vpps.iter().map(Vpp::port).collect();
        // Longer than the restart of a VPP.
        let withdraw_after = if real.is_empty() { Duration::from_millis(200) } else { Duration::from_secs(5) };
        let options = PacketsOptions { withdraw_after, ..PacketsOptions::new(ports) };
        let packets = Packets::start(network, &options, &backends);
        Self { packets, backends, vpps, client, dir, _shutdown: shutdown.drop_guard() }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Adds a VIP to all VPPs, with the servers in `weights`, and waits until it answers.
    pub async fn add_vip(&self, vip: SocketAddr, protocol: u8, settings: Settings, weights: &[(IpAddr, u8)]) {
        for vpp in &self.vpps {
            vpp.add_vip(vip, protocol, settings, weights).await;
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

    /// Sets the weight of a server on all VPPs; `flush` drops its flows.
    pub async fn set_weight(&self, vip: SocketAddr, protocol: u8, server: IpAddr, weight: u8, flush: bool) {
        for vpp in &self.vpps {
            vpp.set_weight(vip, protocol, server, weight, flush).await;
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
    pub async fn on_each_node(&self, vip: SocketAddr, add: impl AsyncFn(&Vpp), test: impl AsyncFn()) {
        for running in 0..self.vpps.len() {
            self.start_again(running, &add).await;
            for (node, stopped) in self.vpps.iter().enumerate() {
                if node != running && stopped.is_running().await {
                    stopped.stop().await;
                }
            }
            self.until_routed(vip, [running]).await;
            test().await;
        }
    }

    /// Starts the VPP of a node, unless it is up, with the VIPs that `add` adds.
    pub async fn start_again(&self, node: usize, add: impl AsyncFn(&Vpp)) {
        let vpp = &self.vpps[node];
        if !vpp.is_running().await {
            vpp.start_again().await;
            add(vpp).await;
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

/// Sends a datagram, and returns the answer.
pub fn exchange_datagram(local: SocketAddr, vip: SocketAddr, timeout: Duration) -> io::Result<String> {
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
