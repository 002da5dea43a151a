//! The flags of `maglevd`, each with its environment variable.

use std::{net::IpAddr, net::SocketAddr, path::PathBuf};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use maglev_model::event::Level;
use maglev_telemetry::{LogFormat, build::LONG_VERSION, log::parse_level, server::parse_address};

const EXAMPLE: &str = "\
Example: beside a VPP on this machine and a cluster that kubectl reaches
  maglevd --node-name node-a --vpp-api-socket /run/vpp/api.sock --metrics-addr 127.0.0.1:9091

Every change to the data plane is a line vpp-lb-sync-* in the log. SIGTERM ends it and leaves VPP as it is.";

const WITHDRAW_EXAMPLE: &str = "\
Example: once no agent runs on this node any more
  maglevd withdraw --vpp-api-socket /run/vpp/api.sock";

const PROBE_EXAMPLE: &str = "\
Examples:
  maglevd probe examples/health-checks.yaml 192.0.2.7 --name http
  kubectl get healthcheck web -o yaml | maglevd probe - 192.0.2.7";

/// Probes the backends of this node's frontends and programs the node's VPP.
#[derive(Debug, Parser)]
#[command(name = "maglevd", version = LONG_VERSION.as_str(), after_help = EXAMPLE)]
pub struct Flags {
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The Kubernetes Node that this runs on; without it NODE_NAME is taken
    #[arg(long, global = true, env = "MAGLEVD_NODE_NAME", value_name = "NAME")]
    node_name: Option<String>,

    /// VPP's binary API socket
    #[arg(
        long,
        global = true,
        env = "MAGLEVD_VPP_API_SOCKET",
        value_name = "PATH",
        default_value = "/run/vpp/api.sock"
    )]
    pub vpp_api_socket: PathBuf,

    /// VPP's stats socket
    #[arg(long, env = "MAGLEVD_VPP_STATS_SOCKET", value_name = "PATH", default_value = "/run/vpp/stats.sock")]
    pub vpp_stats_socket: PathBuf,

    /// The network namespace that probes are sent from: a name of `ip netns` or a path [default: its own]
    #[arg(long, global = true, env = "MAGLEVD_PROBE_NETWORK_NAMESPACE", value_name = "NAME")]
    pub probe_network_namespace: Option<String>,

    /// How a line of the log looks: text or json
    #[arg(long, global = true, env = "MAGLEVD_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// The least level that is logged: debug (every probe and message), info, warn or error
    #[arg(long, global = true, env = "MAGLEVD_LOG_LEVEL", value_name = "LEVEL", default_value = "info", value_parser = parse_level)]
    pub log_level: Level,

    /// Where /metrics, /healthz and /readyz are served [default: port 9091 of POD_IP, else of 127.0.0.1]
    #[arg(long, env = "MAGLEVD_METRICS_ADDR", value_name = "ADDRESS:PORT")]
    metrics_addr: Option<SocketAddr>,

    /// Where gRPC is served, once for each address [default: port 9090 of POD_IP, else of 127.0.0.1]
    #[arg(
        long,
        env = "MAGLEVD_GRPC_ADDR",
        value_name = "ADDRESS:PORT",
        value_delimiter = ',',
        value_parser = parse_address
    )]
    grpc_addr: Vec<SocketAddr>,

    /// Set by Kubernetes, for the defaults of --metrics-addr and --grpc-addr
    #[arg(long, env = "POD_IP", value_name = "ADDRESS", hide = true, default_value = "127.0.0.1")]
    pod_ip: IpAddr,

    /// Let Frontends and Backends have loopback addresses, as in the sandbox
    #[arg(long, env = "MAGLEVD_ALLOW_LOOPBACK")]
    pub allow_loopback: bool,

    /// The kubeconfig to use; without it KUBECONFIG, ~/.kube/config and the pod's own ServiceAccount are tried
    #[arg(long, global = true, env = "MAGLEVD_KUBECONFIG", value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
}

/// What to do instead of being the agent.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Remove everything that maglevd put into this node's VPP, and exit
    ///
    /// For a node that serves no more and where no agent runs: while one does, nothing is removed and the error
    /// names it. What is ours is read from maglevd.vips.json beside the API socket, which is empty afterwards;
    /// VIPs of others stay. No Kubernetes is needed and nothing is held. Every removal is a line vpp-lb-sync-* in
    /// the log. The exit status is 0 if all is gone, else 1; then it can be run again.
    #[command(after_help = WITHDRAW_EXAMPLE)]
    Withdraw,

    /// Probe one address by a HealthCheck, once, and explain what happens step by step
    ///
    /// It is the probe that the agent would send from here, and what the agent would make of it. Certificates that
    /// the HealthCheck refers to are taken from Secrets and ConfigMaps in the manifest, else from the API server.
    /// The exit status is 0 if the probe succeeds, else 1.
    #[command(after_help = PROBE_EXAMPLE)]
    Probe(ProbeArguments),
}

/// What is probed, and how.
#[derive(Clone, Debug, Args)]
pub struct ProbeArguments {
    /// A file with the manifest of a HealthCheck, or - for standard input
    pub manifest: PathBuf,

    /// The backend's address
    pub address: IpAddr,

    /// Which HealthCheck, where the manifest has several
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// The address to send from, as probe.ipv4SourceAddress and probe.ipv6SourceAddress of a LoadBalancerConfig
    #[arg(long, value_name = "ADDRESS")]
    pub source: Option<IpAddr>,
}

impl Flags {
    /// The name of this node.
    ///
    /// # Errors
    /// If neither flag nor environment has it: it is never guessed from the host's name.
    pub fn node_name(&self) -> anyhow::Result<String> {
        let named = self.node_name.clone().or_else(|| std::env::var("NODE_NAME").ok()).filter(|name| !name.is_empty());
        named.context("this node's name is not known: give --node-name, MAGLEVD_NODE_NAME or NODE_NAME")
    }

    /// Where the three endpoints are served.
    pub fn metrics_addr(&self) -> SocketAddr {
        self.metrics_addr.unwrap_or_else(|| (self.pod_ip, 9091).into())
    }

    /// Where gRPC is served.
    pub fn grpc_addrs(&self) -> Vec<SocketAddr> {
        if self.grpc_addr.is_empty() { vec![(self.pod_ip, 9090).into()] } else { self.grpc_addr.clone() }
    }
}
