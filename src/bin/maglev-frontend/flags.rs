//! The flags of `maglev-frontend`, each with its environment variable.

use std::{net::IpAddr, net::SocketAddr, path::PathBuf};

use clap::{Parser, ValueEnum};
use maglev_model::event::Level;
use maglev_telemetry::{LogFormat, build::LONG_VERSION, log::parse_level, server::parse_address};

const EXAMPLE: &str = "\
Example: in front of two agents on this machine, without Kubernetes
  maglev-frontend --server 127.0.0.1:9090 --server 127.0.0.2:9090 --http-addr 127.0.0.1:8080

Then open http://127.0.0.1:8080/view/. It shows; with --admin-mode it lets people who sign in change\nthings, too. SIGTERM ends it.";

/// A live page of all load-balancer nodes: finds the maglevd pods of its namespace and follows each.
#[derive(Debug, Parser)]
#[command(name = "maglev-frontend", version = LONG_VERSION.as_str(), after_help = EXAMPLE)]
pub struct Flags {
    /// Where the page is served, once for each address [default: port 8080 of POD_IP, else of 127.0.0.1]
    #[arg(
        long,
        env = "MAGLEV_FRONTEND_HTTP_ADDR",
        value_name = "ADDRESS:PORT",
        value_delimiter = ',',
        value_parser = parse_address
    )]
    http_addr: Vec<SocketAddr>,

    /// Where /metrics, /healthz and /readyz are served [default: port 9092 of POD_IP, else of 127.0.0.1]
    #[arg(long, env = "MAGLEV_FRONTEND_METRICS_ADDR", value_name = "ADDRESS:PORT", value_parser = parse_address)]
    metrics_addr: Option<SocketAddr>,

    /// Set by Kubernetes, for the defaults of --http-addr and --metrics-addr
    #[arg(long, env = "POD_IP", value_name = "ADDRESS", hide = true, default_value = "127.0.0.1")]
    pod_ip: IpAddr,

    /// The namespace to look for maglevd pods in [default: that of the pod, or of the kubeconfig's context]
    #[arg(long, env = "MAGLEV_FRONTEND_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// An agent's gRPC, once for each; then Kubernetes is not asked, and conditions are not shown
    #[arg(
        long,
        env = "MAGLEV_FRONTEND_SERVER",
        value_name = "ADDRESS:PORT",
        value_delimiter = ',',
        value_parser = parse_address,
        conflicts_with = "namespace"
    )]
    pub server: Vec<SocketAddr>,

    /// Who may change things: off, nobody; basic, one user with a password; token, who has a Kubernetes token, with
    /// which the change is made
    #[arg(long, env = "MAGLEV_FRONTEND_ADMIN_MODE", value_name = "MODE", default_value = "off")]
    pub admin_mode: AdminMode,

    /// With --admin-mode=basic: a directory with the files username and password; changed ones hold at once
    #[arg(
        long,
        env = "MAGLEV_FRONTEND_ADMIN_CREDENTIALS_DIR",
        value_name = "PATH",
        required_if_eq("admin_mode", "basic")
    )]
    pub admin_credentials_dir: Option<PathBuf>,

    /// A file with at least 32 random bytes, the same for all replicas, that cookies are sealed with
    #[arg(
        long,
        env = "MAGLEV_FRONTEND_ADMIN_KEY_FILE",
        value_name = "PATH",
        required_if_eq_any([("admin_mode", "basic"), ("admin_mode", "token")])
    )]
    pub admin_key_file: Option<PathBuf>,

    /// How a line of the log looks: text or json
    #[arg(long, env = "MAGLEV_FRONTEND_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// The least level that is logged: debug, info, warn or error
    #[arg(long, env = "MAGLEV_FRONTEND_LOG_LEVEL", value_name = "LEVEL", default_value = "info", value_parser = parse_level)]
    pub log_level: Level,

    /// The kubeconfig to use; without it KUBECONFIG, ~/.kube/config and the pod's own ServiceAccount are tried
    #[arg(long, env = "MAGLEV_FRONTEND_KUBECONFIG", value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
}

/// Who may change things. What each means stands at the flag: help of single values would make `--help` twice as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AdminMode {
    Off,
    Basic,
    Token,
}

impl Flags {
    /// Where the page is served.
    pub fn http_addrs(&self) -> Vec<SocketAddr> {
        if self.http_addr.is_empty() { vec![(self.pod_ip, 8080).into()] } else { self.http_addr.clone() }
    }

    /// Where the three endpoints are served.
    pub fn metrics_addr(&self) -> SocketAddr {
        self.metrics_addr.unwrap_or_else(|| (self.pod_ip, 9092).into())
    }
}
