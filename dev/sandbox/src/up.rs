//! `maglev-sandbox up`: runs all parts until a signal arrives.
//!
//! ```text
//!  backends ─ VPPs ─ packets ─ control plane ─ nodes ─ helm install ─ examples/demo.yaml ─ DIR/ready
//! ```
//!
//! Parts start from left to right and stop from right to left. The files of this module do not depend on each other.

mod directory;
mod nodes;
mod output;
mod packets;
mod release;
mod vpp;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::SandboxError;
use super::assets::Assets;
use super::control_plane::{ControlPlane, Options};
use super::demo_backend::{DemoBackends, DemoOptions, Flap};
use super::packets::{Packets, PacketsMode};
use super::processes::Processes;
use super::real_vpp::VppProgram;
use directory::Directory;
use nodes::{NodeSpec, Nodes};
use release::DemoService;
use vpp::{NodeVpp, RunningVpp, Vpps};

/// Time limit for the backends to close their connections.
const BACKENDS_STOP: Duration = Duration::from_secs(2);

const EXAMPLE: &str = "\
Example: a cluster with three load-balancer nodes and backends that fail at random
  maglev-sandbox up --dir .demo --nodes 3 --flap

and in another terminal, once the cluster is running:
  export KUBECONFIG=$PWD/.demo/kubeconfig PATH=$PWD/.demo/bin:$PATH
  kubectl logs -f ds/maglevd";

/// Run a cluster on this machine: control plane, load-balancer nodes, VPPs, backends and the chart
///
/// The control plane is Kubernetes itself; nodes, backends and, without --vpp-binary, VPPs are simulated. DIR holds all files: kubeconfig,
/// ready (created once everything is ready), nodes/NODE/run/vpp and logs. Files of an earlier run in DIR are removed.
/// Ctrl-C or SIGTERM stops the cluster.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = EXAMPLE)]
pub struct UpArgs {
    /// Directory for all files of the sandbox
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,

    /// Number of load-balancer nodes: node-a, node-b, …
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub nodes: u8,

    /// Use a real VPP that runs already for this node: DIR holds its api.sock and stats.sock; repeatable
    #[arg(long, value_name = "NODE=DIR")]
    pub vpp: Vec<RunningVpp>,

    /// Run this real VPP with its lb plugin for each node, instead of a simulated one; requires root
    #[arg(long, value_name = "PATH")]
    pub vpp_binary: Option<PathBuf>,

    /// Directory of the plugins of --vpp-binary [default: vpp_plugins in ../lib or ../lib/* beside its directory]
    #[arg(long, value_name = "DIR", requires = "vpp_binary")]
    pub vpp_plugins: Option<PathBuf>,

    /// Let backends fail and recover at random
    #[arg(long)]
    pub flap: bool,

    /// Forward packets from clients through the VPPs to the backends, in network namespaces; requires root
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    pub packets: PacketsMode,

    /// Run no pods behind a Service of type LoadBalancer
    #[arg(long)]
    pub no_service: bool,

    /// Seed of the random choices of --flap
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "flap")]
    pub flap_seed: u64,

    /// Checkout of the project, with hack/kube, charts and examples [default: the one that this program was built from]
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../.."), hide_default_value = true)]
    pub checkout: PathBuf,

    /// Directory of maglevd, maglev-controller and maglev-frontend [default: the directory of this program]
    #[arg(long, value_name = "DIR")]
    pub binaries: Option<PathBuf>,
}

/// Runs the sandbox until SIGINT or SIGTERM, then stops all children in order.
///
/// # Errors
/// A part did not start, or a part of the control plane other than the API server exited.
pub async fn run(args: UpArgs) -> Result<(), SandboxError> {
    let mut stop = Stop::new()?;
    let started = tokio::select! {
        started = Sandbox::start(&args) => started?,
        // Dropping the parts started so far kills their children.
        () = stop.requested() => return Ok(()),
    };
    let ended = tokio::select! {
        error = started.plane.supervise() => Err(error),
        () = stop.requested() => Ok(()),
    };
    output::print("stopping…");
    started.stop().await;
    ended
}

/// SIGINT and SIGTERM.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> Result<Self, SandboxError> {
        let listen = |kind| signal(kind).map_err(SandboxError::file("listen for", "signals"));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn requested(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// All running parts.
struct Sandbox {
    directory: Directory,
    shutdown: CancellationToken,
    backends: DemoBackends,
    packets: Option<Packets>,
    vpps: Vpps,
    nodes: Nodes,
    plane: ControlPlane,
}

impl Sandbox {
    async fn start(args: &UpArgs) -> Result<Self, SandboxError> {
        let specs = NodeSpec::all(args.nodes);
        vpp::check(&args.vpp, &specs)?;
        let find = |binary| VppProgram::find(binary, args.vpp_plugins.as_deref());
        let program = args.vpp_binary.as_deref().map(find).transpose()?;
        let binaries = directory::binaries(args.binaries.as_deref())?;
        let checkout = args.checkout.canonicalize().map_err(SandboxError::file("find", &args.checkout))?;
        let directory = Directory::open(&args.dir, &specs)?;
        let assets = Assets::from_checkout(&checkout).await?;
        directory.link_programs(&assets, &binaries)?;

        let processes = Processes::start()?;
        let shutdown = CancellationToken::new();
        let flap = args.flap.then(|| Flap::standard(args.flap_seed));
        let options = DemoOptions { flap, ..DemoOptions::standard(directory.path()) };
        let names: Vec<_> = options.backends.iter().map(|(name, _)| name.clone()).collect();
        let vpps = NodeVpp::all(&specs, &args.vpp, program.as_ref(), &directory);
        let network = packets::prepare(args.packets, &directory, &names, &specs, &vpps).await?;
        let backends = DemoBackends::start(options, shutdown.clone()).await?;
        let guard = shutdown.clone().drop_guard();

        let running = Vpps::start(&directory, &specs, &vpps, network.is_some(), &processes).await?;
        let start = |network| packets::start(network, &directory, &specs, &vpps, &backends);
        let packets = network.map(start).transpose()?;
        output::print("starting etcd, API server, controller manager and scheduler…");
        let options = Options::new(assets).with_controllers();
        let plane = ControlPlane::start(directory.path(), &processes, options).await?;
        let pods = packets.as_ref().map(|packets| Arc::clone(packets.pods()));
        if let Some(pods) = &pods {
            pods.follow_services(&plane.client().await?);
        }
        let nodes = Nodes::start(&directory, &specs, &binaries, &plane, &processes, pods.as_ref()).await?;
        let service = DemoService::choose(args.no_service, packets.is_some());
        let tools = release::Tools { directory: &directory, checkout: &checkout, plane: &plane, processes: &processes };
        let dashboard = release::install(&tools, specs.len(), service).await?;
        directory.set_ready()?;
        let tour = output::Tour { has_packets: packets.is_some(), service };
        output::print(&output::summary(&directory, &specs, &backends, &plane, &dashboard, &tour));
        let shutdown = guard.disarm();
        Ok(Self { directory, shutdown, backends, packets, vpps: running, nodes, plane })
    }

    async fn stop(self) {
        self.directory.unset_ready();
        self.nodes.stop().await;
        self.vpps.stop().await;
        if let Some(packets) = self.packets {
            packets.stop().await;
        }
        self.plane.stop().await;
        self.shutdown.cancel();
        // Connections still open are closed by the exit of the process.
        let _ = tokio::time::timeout(BACKENDS_STOP, self.backends.stopped()).await;
    }
}
