//! The flags of `maglev-controller`, each with its environment variable.

use std::{net::IpAddr, net::SocketAddr, path::PathBuf, sync::LazyLock, time::Duration};

use clap::{Args, Parser, Subcommand};
use maglev_fleet::check::Check;
use maglev_model::event::Level;
use maglev_telemetry::{LogFormat, log::parse_level};

/// The version of this package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit that this was built from; whoever builds a release sets `MAGLEV_COMMIT` for the compiler.
pub const COMMIT: &str = match option_env!("MAGLEV_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

static LONG_VERSION: LazyLock<String> = LazyLock::new(|| format!("{VERSION} (commit {COMMIT})"));

const EXAMPLE: &str = "\
Example: beside a cluster that kubectl reaches, for the agents of the namespace lb:
  maglev-controller --namespace lb --metrics-addr 127.0.0.1:9093

Any number may run; one leads, by the Lease maglev-controller of that namespace, and writes. SIGTERM ends it and gives
the Lease back.";

const CRDS_EXAMPLE: &str = "\
Example: kubectl apply takes them from its standard input:
  maglev-controller crds";

const CHECK_EXAMPLE: &str = "\
Example: what helm test runs in the cluster, for the release maglev in the namespace lb
  maglev-controller check --namespace lb --release maglev";

/// Folds what the agents report into the status of Frontends, Backends and the other resources.
#[derive(Debug, Parser)]
#[command(name = "maglev-controller", version = LONG_VERSION.as_str(), after_help = EXAMPLE)]
pub struct Flags {
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The namespace of the agents' pods and of the Lease
    #[arg(long, env = "MAGLEV_CONTROLLER_NAMESPACE", value_name = "NAME", default_value = "default")]
    pub namespace: String,

    /// The name of the Lease that replicas share
    #[arg(long, env = "MAGLEV_CONTROLLER_LEASE", value_name = "NAME", default_value = "maglev-controller")]
    pub lease: String,

    /// What this replica calls itself in the Lease and in Kubernetes Events [default: POD_NAME, else HOSTNAME]
    #[arg(long, env = "MAGLEV_CONTROLLER_IDENTITY", value_name = "NAME")]
    pub identity: Option<String>,

    /// How a line of the log looks: text or json
    #[arg(long, env = "MAGLEV_CONTROLLER_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// The least level that is logged: debug, info, warn or error
    #[arg(long, env = "MAGLEV_CONTROLLER_LOG_LEVEL", value_name = "LEVEL", default_value = "info", value_parser = parse_level)]
    pub log_level: Level,

    /// Where /metrics, /healthz and /readyz are served [default: port 9093 of POD_IP, else of 127.0.0.1]
    #[arg(long, env = "MAGLEV_CONTROLLER_METRICS_ADDR", value_name = "ADDRESS:PORT")]
    metrics_addr: Option<SocketAddr>,

    /// Set by Kubernetes, for the default of --metrics-addr
    #[arg(long, env = "POD_IP", value_name = "ADDRESS", hide = true, default_value = "127.0.0.1")]
    pod_ip: IpAddr,

    /// Set by Kubernetes, for the default of --identity
    #[arg(long, env = "POD_NAME", value_name = "NAME", hide = true)]
    pod_name: Option<String>,

    /// Let Frontends and Backends have loopback addresses, as in the sandbox; as on the agents
    #[arg(long, env = "MAGLEV_CONTROLLER_ALLOW_LOOPBACK")]
    pub allow_loopback: bool,

    /// The kubeconfig to use; without it KUBECONFIG, ~/.kube/config and the pod's own ServiceAccount are tried
    #[arg(long, env = "MAGLEV_CONTROLLER_KUBECONFIG", value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
}

/// What to do instead of being the controller.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Print the CustomResourceDefinitions that fit this build, as YAML
    #[command(after_help = CRDS_EXAMPLE)]
    Crds,

    /// Ask everything of a release of the chart whether it is well, from here
    ///
    /// Every pod is asked at its address whether it is ready, and every agent by gRPC who it is: that is the way of the
    /// controller, the dashboard and Prometheus, which a firewall or a NetworkPolicy may close. The exit status is 0 if
    /// all is well, else 1.
    #[command(after_help = CHECK_EXAMPLE)]
    Check(CheckArguments),
}

/// What is asked, and how patiently.
#[derive(Clone, Debug, Args)]
pub struct CheckArguments {
    /// The namespace of the release
    #[arg(long, env = "MAGLEV_CONTROLLER_NAMESPACE", value_name = "NAME", default_value = "default")]
    namespace: String,

    /// The name of the release
    #[arg(long, value_name = "NAME", default_value = "maglev")]
    release: String,

    /// How long to ask again while something is missing
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    within: u32,
}

impl CheckArguments {
    /// What to check.
    pub fn check(&self) -> Check {
        let within = Duration::from_secs(self.within.into());
        Check { namespace: self.namespace.clone(), release: self.release.clone(), within }
    }
}

impl Flags {
    /// What this replica calls itself, different for each process.
    pub fn identity(&self) -> String {
        let host = || std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
        let name = self.identity.clone().or_else(|| self.pod_name.clone()).or_else(host);
        format!("{}_{:08x}", name.unwrap_or_else(|| "maglev-controller".to_owned()), fastrand::u32(..))
    }

    /// Where the three endpoints are served.
    pub fn metrics_addr(&self) -> SocketAddr {
        self.metrics_addr.unwrap_or_else(|| (self.pod_ip, 9093).into())
    }
}
