//! Flags of `maglevd`, each with its environment variable.

use std::{net::IpAddr, net::SocketAddr, path::PathBuf};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use maglev_auth::AuthMode;
use maglev_build_info::LONG_VERSION;
use maglev_model::event::Level;
use maglev_telemetry::{LogFormat, log::parse_level, server::parse_address};

const EXAMPLE: &str = "\
Example: with a VPP on this machine and the cluster that kubectl uses
  maglevd --node-name node-a --vpp-api-socket /run/vpp/api.sock --metrics-addr 127.0.0.1:9091

Every change to the data plane is logged as vpp-lb-sync-*. SIGTERM stops the agent and leaves VPP unchanged.";

const WITHDRAW_EXAMPLE: &str = "\
Example: after the agent of this node has been stopped
  maglevd withdraw --vpp-api-socket /run/vpp/api.sock";

const PROBE_EXAMPLE: &str = "\
Examples:
  maglevd probe examples/health-checks.yaml 192.0.2.7 --name http
  kubectl get healthcheck web -o yaml | maglevd probe - 192.0.2.7";

/// Probes the backends of this node's Frontends and programs the node's VPP.
#[derive(Debug, Parser)]
#[command(name = "maglevd", version = LONG_VERSION.as_str(), after_help = EXAMPLE)]
pub struct Flags {
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Name of the Kubernetes Node that the agent runs on [default: NODE_NAME]
    #[arg(long, global = true, env = "MAGLEVD_NODE_NAME", value_name = "NAME")]
    node_name: Option<String>,

    /// Path of VPP's binary API socket
    #[arg(
        long,
        global = true,
        env = "MAGLEVD_VPP_API_SOCKET",
        value_name = "PATH",
        default_value = "/run/vpp/api.sock"
    )]
    pub vpp_api_socket: PathBuf,

    /// Path of VPP's stats socket
    #[arg(long, env = "MAGLEVD_VPP_STATS_SOCKET", value_name = "PATH", default_value = "/run/vpp/stats.sock")]
    pub vpp_stats_socket: PathBuf,

    /// Network namespace to send probes from: a name known to `ip netns`, or a path [default: maglevd's own]
    #[arg(long, global = true, env = "MAGLEVD_PROBE_NETWORK_NAMESPACE", value_name = "NAME")]
    pub probe_network_namespace: Option<String>,

    /// Log format: text or json
    #[arg(long, global = true, env = "MAGLEVD_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// Minimum log level: debug (every probe and message), info, warn or error
    #[arg(long, global = true, env = "MAGLEVD_LOG_LEVEL", value_name = "LEVEL", default_value = "info", value_parser = parse_level)]
    pub log_level: Level,

    /// Listen address of /metrics, /healthz and /readyz [default: port 9091 of POD_IP, else of 127.0.0.1]
    #[arg(long, env = "MAGLEVD_METRICS_ADDR", value_name = "ADDRESS:PORT", value_parser = parse_address)]
    metrics_addr: Option<SocketAddr>,

    /// Listen address of gRPC without TLS, repeatable [default: port 9090 of POD_IP, else of 127.0.0.1]
    #[arg(
        long,
        env = "MAGLEVD_GRPC_ADDR",
        value_name = "ADDRESS:PORT",
        value_delimiter = ',',
        value_parser = parse_address
    )]
    grpc_addr: Vec<SocketAddr>,

    #[command(flatten)]
    pub auth: AuthFlags,

    /// Set by Kubernetes, for the defaults of --metrics-addr, --grpc-addr and --grpc-tls-addr
    #[arg(long, env = "POD_IP", value_name = "ADDRESS", hide = true, default_value = "127.0.0.1")]
    pod_ip: IpAddr,

    /// Accept loopback addresses in Frontends and Backends, as the sandbox needs
    #[arg(long, env = "MAGLEVD_ALLOW_LOOPBACK")]
    pub allow_loopback: bool,

    /// Let pools of Frontends follow Services: watch EndpointSlices while one does, for which the role needs rights
    #[arg(long, env = "MAGLEVD_SERVICES")]
    pub services: bool,

    /// Path of the kubeconfig [default: KUBECONFIG, else ~/.kube/config, else the pod's ServiceAccount]
    #[arg(long, global = true, env = "MAGLEVD_KUBECONFIG", value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
}

/// Flags of TLS and tokens.
#[derive(Clone, Debug, Args)]
pub struct AuthFlags {
    /// Directory with tls.crt and tls.key, which may be missing; they are read again every minute
    #[arg(long, env = "MAGLEVD_GRPC_TLS_DIR", value_name = "PATH")]
    pub grpc_tls_dir: Option<PathBuf>,

    /// With --grpc-tls-dir: listen address of gRPC with TLS, repeatable [default: port 9094 of POD_IP, else of 127.0.0.1]
    #[arg(
        long,
        env = "MAGLEVD_GRPC_TLS_ADDR",
        value_name = "ADDRESS:PORT",
        value_delimiter = ',',
        value_parser = parse_address,
        requires = "grpc_tls_dir"
    )]
    grpc_tls_addr: Vec<SocketAddr>,

    /// Tokens in gRPC calls: off, permissive (calls without permission are answered, logged and counted) or required
    /// (they are refused, and so is every call without TLS)
    #[arg(long, env = "MAGLEVD_GRPC_AUTH", value_name = "MODE", default_value = "off")]
    pub grpc_auth: AuthMode,

    /// User that may read by gRPC, such as system:serviceaccount:NAMESPACE:NAME, repeatable
    #[arg(long, env = "MAGLEVD_GRPC_VIEWER", value_name = "USER", value_delimiter = ',')]
    pub grpc_viewer: Vec<String>,

    /// User that may read by gRPC and request syncs, repeatable
    #[arg(long, env = "MAGLEVD_GRPC_OPERATOR", value_name = "USER", value_delimiter = ',')]
    pub grpc_operator: Vec<String>,

    /// User that may read /metrics, repeatable; without any, everybody may
    #[arg(long, env = "MAGLEVD_METRICS_VIEWER", value_name = "USER", value_delimiter = ',')]
    pub metrics_viewer: Vec<String>,

    /// Issuer of tokens [default: the issuer that the API server names]
    #[arg(long, env = "MAGLEVD_TOKEN_ISSUER", value_name = "URL")]
    pub token_issuer: Option<String>,
}

/// Subcommands, each in place of running the agent.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Remove from this node's VPP every VIP that maglevd added, and exit
    ///
    /// To decommission a node, stop its agent and run this command. It refuses to run beside an agent, and then names
    /// the agent. The VIPs to remove are read from maglevd.vips.json, in the directory of the API socket; other VIPs
    /// are left alone. Kubernetes is not used, and removals are not held for confirmation. Every removal is logged as
    /// vpp-lb-sync-*. The exit status is 0 if every VIP was removed, else 1; the command can be repeated.
    #[command(after_help = WITHDRAW_EXAMPLE)]
    Withdraw,

    /// Send one probe of a HealthCheck to an address and explain it step by step
    ///
    /// The probe and its result are those of an agent on this machine. Certificates that the HealthCheck refers to are
    /// read from Secrets and ConfigMaps in the manifest, else from the API server. The exit status is 0 if the probe
    /// succeeds, else 1.
    #[command(after_help = PROBE_EXAMPLE)]
    Probe(ProbeArguments),
}

/// Arguments of `maglevd probe`.
#[derive(Clone, Debug, Args)]
pub struct ProbeArguments {
    /// File with the manifest of a HealthCheck, or - for standard input
    pub manifest: PathBuf,

    /// Address of the backend
    pub address: IpAddr,

    /// Name of the HealthCheck, if the manifest has several
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Source address of the probe, like probe.ipv4SourceAddress and probe.ipv6SourceAddress of a LoadBalancerConfig
    #[arg(long, value_name = "ADDRESS")]
    pub source: Option<IpAddr>,
}

impl Flags {
    /// The name of this node.
    ///
    /// # Errors
    /// Neither flag nor environment names the node. The host's name is not a substitute: it may differ from the Node's.
    pub fn node_name(&self) -> anyhow::Result<String> {
        let named = self.node_name.clone().or_else(|| std::env::var("NODE_NAME").ok()).filter(|name| !name.is_empty());
        named.context("the name of this node is not set: set --node-name, MAGLEVD_NODE_NAME or NODE_NAME")
    }

    /// Listen address of the HTTP endpoints.
    pub fn metrics_addr(&self) -> SocketAddr {
        self.metrics_addr.unwrap_or_else(|| (self.pod_ip, 9091).into())
    }

    /// Listen addresses of gRPC with TLS.
    pub fn grpc_tls_addrs(&self) -> Vec<SocketAddr> {
        let addresses = &self.auth.grpc_tls_addr;
        if addresses.is_empty() { vec![(self.pod_ip, 9094).into()] } else { addresses.clone() }
    }

    /// Listen addresses of gRPC without TLS.
    pub fn grpc_addrs(&self) -> Vec<SocketAddr> {
        if self.grpc_addr.is_empty() { vec![(self.pod_ip, 9090).into()] } else { self.grpc_addr.clone() }
    }
}
