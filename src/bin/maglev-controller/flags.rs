//! Flags of `maglev-controller`, each with its environment variable.

use std::{net::IpAddr, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use maglev_build_info::LONG_VERSION;
use maglev_fleet::{Error, Security, check::Check};
use maglev_model::event::Level;
use maglev_telemetry::{LogFormat, log::parse_level, server::parse_address};

const EXAMPLE: &str = "\
Example: with the cluster that kubectl uses, for the agents in namespace lb
  maglev-controller --namespace lb --metrics-addr 127.0.0.1:9093

Several replicas can run; the one that holds the Lease maglev-controller in that namespace writes. SIGTERM stops the
replica and releases the Lease.";

const CRDS_EXAMPLE: &str = "\
Example: install them with kubectl
  maglev-controller crds | kubectl apply --server-side -f -";

const CHECK_EXAMPLE: &str = "\
Example: as run by helm test, for the release maglev in namespace lb
  maglev-controller check --namespace lb --release maglev";

/// Aggregates the agents' reports into the status of Frontends, Backends and the other resources.
#[derive(Debug, Parser)]
#[command(name = "maglev-controller", version = LONG_VERSION.as_str(), after_help = EXAMPLE)]
pub struct Flags {
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Namespace of the agents' pods and of the Lease
    #[arg(long, env = "MAGLEV_CONTROLLER_NAMESPACE", value_name = "NAME", default_value = "default")]
    pub namespace: String,

    /// Name of the Lease that the replicas share
    #[arg(long, env = "MAGLEV_CONTROLLER_LEASE", value_name = "NAME", default_value = "maglev-controller")]
    pub lease: String,

    /// Name of this replica in the Lease and in Kubernetes Events [default: POD_NAME, else HOSTNAME]
    #[arg(long, env = "MAGLEV_CONTROLLER_IDENTITY", value_name = "NAME")]
    pub identity: Option<String>,

    /// Log format: text or json
    #[arg(long, env = "MAGLEV_CONTROLLER_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// Minimum log level: debug, info, warn or error
    #[arg(long, env = "MAGLEV_CONTROLLER_LOG_LEVEL", value_name = "LEVEL", default_value = "info", value_parser = parse_level)]
    pub log_level: Level,

    /// Listen address of /metrics, /healthz and /readyz [default: port 9093 of POD_IP, else of 127.0.0.1]
    #[arg(long, env = "MAGLEV_CONTROLLER_METRICS_ADDR", value_name = "ADDRESS:PORT", value_parser = parse_address)]
    metrics_addr: Option<SocketAddr>,

    /// Set by Kubernetes, for the default of --metrics-addr
    #[arg(long, env = "POD_IP", value_name = "ADDRESS", hide = true, default_value = "127.0.0.1")]
    pod_ip: IpAddr,

    /// Set by Kubernetes, for the default of --identity
    #[arg(long, env = "POD_NAME", value_name = "NAME", hide = true)]
    pod_name: Option<String>,

    /// File with the authorities of agents' certificates; without it, agents are connected to without TLS
    #[arg(long, global = true, env = "MAGLEV_CONTROLLER_AGENT_CA_FILE", value_name = "PATH")]
    pub agent_ca_file: Option<PathBuf>,

    /// File with the ServiceAccount token that agents get, for the audience maglevd.maglev.vpp.io; only over TLS
    #[arg(long, global = true, env = "MAGLEV_CONTROLLER_AGENT_TOKEN_FILE", value_name = "PATH")]
    pub agent_token_file: Option<PathBuf>,

    /// Connect without TLS and token to agents whose certificate is not trusted
    #[arg(long, global = true, env = "MAGLEV_CONTROLLER_AGENT_PLAIN_FALLBACK")]
    pub agent_plain_fallback: bool,

    /// Fill and renew the Secrets maglev-ca and maglevd-tls and the ConfigMap maglev-ca in the namespace, which must exist
    #[arg(long, env = "MAGLEV_CONTROLLER_AGENT_CERTIFICATES")]
    pub agent_certificates: bool,

    /// User that may read /metrics, such as system:serviceaccount:NAMESPACE:NAME, repeatable; without any, everybody may
    #[arg(long, env = "MAGLEV_CONTROLLER_METRICS_VIEWER", value_name = "USER", value_delimiter = ',')]
    pub metrics_viewer: Vec<String>,

    /// Accept loopback addresses in Frontends and Backends, as the sandbox needs; set as on the agents
    #[arg(long, env = "MAGLEV_CONTROLLER_ALLOW_LOOPBACK")]
    pub allow_loopback: bool,

    /// Give Services of the class maglev.vpp.io/vpp an address and Frontends, and let pools follow Services: the role needs rights to Services, Frontends and EndpointSlices; set as on the agents
    #[arg(long, env = "MAGLEV_CONTROLLER_SERVICES")]
    pub services: bool,

    /// Path of the kubeconfig [default: KUBECONFIG, else ~/.kube/config, else the pod's ServiceAccount]
    #[arg(long, env = "MAGLEV_CONTROLLER_KUBECONFIG", value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
}

/// Subcommands, each in place of running the controller.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Print the CustomResourceDefinitions of this version as YAML
    #[command(after_help = CRDS_EXAMPLE)]
    Crds,

    /// Check that all pods of a release of the chart are ready and reachable from here
    ///
    /// Requests /readyz from every pod and, by gRPC, the identity of every agent, on the same paths as controller,
    /// dashboard and Prometheus, which a firewall or a NetworkPolicy may block. The exit status is 0 if all checks
    /// pass, else 1.
    #[command(after_help = CHECK_EXAMPLE)]
    Check(CheckArguments),
}

/// Arguments of `maglev-controller check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArguments {
    /// Namespace of the release
    #[arg(long, env = "MAGLEV_CONTROLLER_NAMESPACE", value_name = "NAME", default_value = "default")]
    pub namespace: String,

    /// Name of the release
    #[arg(long, value_name = "NAME", default_value = "maglev")]
    release: String,

    /// Time limit for repeating failed checks
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    within: u32,
}

impl CheckArguments {
    pub fn check(&self, security: Security) -> Check {
        let within = Duration::from_secs(self.within.into());
        Check { namespace: self.namespace.clone(), release: self.release.clone(), within, security }
    }
}

impl Flags {
    /// The name of this replica, unique per process.
    pub fn identity(&self) -> String {
        let host = || std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
        let name = self.identity.clone().or_else(|| self.pod_name.clone()).or_else(host);
        format!("{}_{:08x}", name.unwrap_or_else(|| "maglev-controller".to_owned()), fastrand::u32(..))
    }

    /// Security of the connections to the agents in `namespace`.
    pub fn agent_security(&self, namespace: &str) -> Result<Security, Error> {
        let (authorities, token) = (self.agent_ca_file.as_deref(), self.agent_token_file.as_deref());
        let security = Security::from_files(namespace, authorities, token)?;
        Ok(Security { plain_fallback: self.agent_plain_fallback, ..security })
    }

    /// Listen address of the HTTP endpoints.
    pub fn metrics_addr(&self) -> SocketAddr {
        self.metrics_addr.unwrap_or_else(|| (self.pod_ip, 9093).into())
    }
}
