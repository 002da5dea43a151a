//! `maglev-sandbox up`: everything together, until a signal ends it.
//!
//! ```text
//!  backends ─ simulated VPPs ─ control plane ─ nodes ─ helm install ─ examples/demo.yaml ─ DIR/ready
//! ```
//!
//! It starts from left to right and stops from right to left. What each part does is the part's own business; this
//! room's other files know nothing of each other.

mod directory;
mod nodes;
mod release;
mod say;
mod vpp;

use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::SandboxError;
use super::assets::Assets;
use super::control_plane::{ControlPlane, Options};
use super::demo_backend::{DemoBackends, DemoOptions, Flap};
use super::processes::Processes;
use directory::Directory;
use nodes::{NodeSpec, Nodes};
use vpp::{RealVpp, Vpps};

/// How long the backends may take to close their connections.
const BACKENDS_STOP: Duration = Duration::from_secs(2);

const EXAMPLE: &str = "\
Example: a cluster with three load-balancer nodes, whose backends come and go
  maglev-sandbox up --dir .demo --nodes 3 --flap

and in another terminal, once it says that all is up:
  export KUBECONFIG=$PWD/.demo/kubeconfig PATH=$PWD/.demo/bin:$PATH
  kubectl logs -f ds/maglevd";

/// Run a cluster on this machine: control plane, load-balancer nodes, VPPs, backends, the chart
///
/// Kubernetes is real; nodes, VPPs and backends are stood in for. Everything is kept under DIR: kubeconfig, ready (made
/// once all is up), nodes/NODE/run/vpp, logs. What an earlier run left in DIR is removed. Ctrl-C or SIGTERM ends it all.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = EXAMPLE)]
pub struct UpArgs {
    /// Where everything is kept
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,

    /// How many load-balancer nodes: node-a, node-b, …
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub nodes: u8,

    /// A real VPP for this node: DIR holds its api.sock and stats.sock
    #[arg(long, value_name = "NODE=DIR")]
    pub vpp: Vec<RealVpp>,

    /// Let backends come and go at random
    #[arg(long)]
    pub flap: bool,

    /// Which random choices --flap makes
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "flap")]
    pub flap_seed: u64,

    /// Where hack/kube, charts and examples are
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../.."), hide_default_value = true)]
    pub checkout: PathBuf,

    /// Where maglevd and maglev-frontend are; the directory of this program when absent
    #[arg(long, value_name = "DIR")]
    pub binaries: Option<PathBuf>,
}

/// Runs it until SIGINT or SIGTERM, then ends every child in order.
///
/// # Errors
/// When a part does not come up, or when the control plane ends by itself.
pub async fn run(args: UpArgs) -> Result<(), SandboxError> {
    let mut stop = Stop::new()?;
    let started = tokio::select! {
        started = Sandbox::start(&args) => started?,
        // Dropping what is half started kills its children.
        () = stop.asked() => return Ok(()),
    };
    let ended = tokio::select! {
        err = started.plane.failed() => Err(err),
        () = stop.asked() => Ok(()),
    };
    say::line("stopping…");
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

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// All parts, running.
struct Sandbox {
    directory: Directory,
    shutdown: CancellationToken,
    backends: DemoBackends,
    vpps: Vpps,
    nodes: Nodes,
    plane: ControlPlane,
}

impl Sandbox {
    async fn start(args: &UpArgs) -> Result<Self, SandboxError> {
        let specs = NodeSpec::all(args.nodes);
        vpp::check(&args.vpp, &specs)?;
        let binaries = directory::binaries(args.binaries.as_deref())?;
        let checkout = args.checkout.canonicalize().map_err(SandboxError::file("find", &args.checkout))?;
        let directory = Directory::open(&args.dir, &specs)?;
        let assets = Assets::of_checkout(&checkout).await?;
        directory.link_programs(&assets, &binaries)?;

        let processes = Processes::start()?;
        let shutdown = CancellationToken::new();
        let flap = args.flap.then(|| Flap::standard(args.flap_seed));
        let wanted = DemoOptions { flap, ..DemoOptions::standard(directory.path()) };
        let backends = DemoBackends::start(wanted, shutdown.clone()).await?;
        let guard = shutdown.clone().drop_guard();

        let vpps = Vpps::start(&directory, &specs, &args.vpp, &processes).await?;
        say::line("starting etcd, API server, controller manager and scheduler…");
        let options = Options::new(assets).with_controllers();
        let plane = ControlPlane::start(directory.path(), &processes, options).await?;
        let nodes = Nodes::start(&directory, &specs, &binaries, &plane, &processes).await?;
        let dashboard = release::install(&directory, &checkout, &plane, &processes, specs.len()).await?;
        directory.set_ready()?;
        say::line(&say::running(&directory, &specs, &backends, &plane, &dashboard));
        let shutdown = guard.disarm();
        Ok(Self { directory, shutdown, backends, vpps, nodes, plane })
    }

    async fn stop(self) {
        self.directory.unset_ready();
        self.nodes.stop().await;
        self.vpps.stop().await;
        self.plane.stop().await;
        self.shutdown.cancel();
        // What still hangs on to a connection ends with the process.
        let _ = tokio::time::timeout(BACKENDS_STOP, self.backends.stopped()).await;
    }
}
