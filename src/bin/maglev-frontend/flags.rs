//! Flags of `maglev-frontend`, each with its environment variable.

use std::{net::IpAddr, net::SocketAddr, path::PathBuf};

use clap::{Parser, ValueEnum};
use ipnet::IpNet;
use maglev_build_info::LONG_VERSION;
use maglev_fleet::{Error, Security};
use maglev_model::event::Level;
use maglev_telemetry::{LogFormat, log::parse_level, server::parse_address};

const EXAMPLE: &str = "\
Example: for two agents on this machine, without Kubernetes
  maglev-frontend --server 127.0.0.1:9090 --server 127.0.0.2:9090 --http-addr 127.0.0.1:8080

Then open http://127.0.0.1:8080/view/. The page is read-only unless --admin-mode is set. SIGTERM stops the server.";

/// Serves a live web page of all load-balancer nodes, from the maglevd pods of one namespace.
#[derive(Debug, Parser)]
#[command(name = "maglev-frontend", version = LONG_VERSION.as_str(), after_help = EXAMPLE)]
pub struct Flags {
    /// Listen address of the page, repeatable [default: port 8080 of POD_IP, else of 127.0.0.1]
    #[arg(
        long,
        env = "MAGLEV_FRONTEND_HTTP_ADDR",
        value_name = "ADDRESS:PORT",
        value_delimiter = ',',
        value_parser = parse_address
    )]
    http_addr: Vec<SocketAddr>,

    /// Listen address of /metrics, /healthz and /readyz [default: port 9092 of POD_IP, else of 127.0.0.1]
    #[arg(long, env = "MAGLEV_FRONTEND_METRICS_ADDR", value_name = "ADDRESS:PORT", value_parser = parse_address)]
    metrics_addr: Option<SocketAddr>,

    /// Set by Kubernetes, for the defaults of --http-addr and --metrics-addr
    #[arg(long, env = "POD_IP", value_name = "ADDRESS", hide = true, default_value = "127.0.0.1")]
    pod_ip: IpAddr,

    /// Namespace of the maglevd pods [default: namespace of this pod, or of the kubeconfig's context]
    #[arg(long, env = "MAGLEV_FRONTEND_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// gRPC address of an agent, repeatable; Kubernetes is not used then, and conditions are not shown
    #[arg(
        long,
        env = "MAGLEV_FRONTEND_SERVER",
        value_name = "ADDRESS:PORT",
        value_delimiter = ',',
        value_parser = parse_address,
        conflicts_with = "namespace"
    )]
    pub server: Vec<SocketAddr>,

    /// File with the authorities of agents' certificates; without it, agents are connected to without TLS
    #[arg(long, env = "MAGLEV_FRONTEND_AGENT_CA_FILE", value_name = "PATH")]
    pub agent_ca_file: Option<PathBuf>,

    /// File with the ServiceAccount token that agents get, for the audience maglevd.maglev.vpp.io; only over TLS
    #[arg(long, env = "MAGLEV_FRONTEND_AGENT_TOKEN_FILE", value_name = "PATH")]
    pub agent_token_file: Option<PathBuf>,

    /// Connect without TLS and token to agents whose certificate is not trusted
    #[arg(long, env = "MAGLEV_FRONTEND_AGENT_PLAIN_FALLBACK")]
    pub agent_plain_fallback: bool,

    /// User that may read /metrics, such as system:serviceaccount:NAMESPACE:NAME, repeatable; without any, everybody may
    #[arg(long, env = "MAGLEV_FRONTEND_METRICS_VIEWER", value_name = "USER", value_delimiter = ',')]
    pub metrics_viewer: Vec<String>,

    /// Name that requests may have in Host, repeatable; addresses and localhost are always allowed, and * allows all names
    #[arg(long, env = "MAGLEV_FRONTEND_ALLOWED_HOSTS", value_name = "NAME", value_delimiter = ',')]
    pub allowed_hosts: Vec<String>,

    /// Network of proxies whose X-Forwarded-For is trusted, repeatable: limits then count by the client before them
    #[arg(
        long,
        env = "MAGLEV_FRONTEND_TRUSTED_PROXIES",
        value_name = "CIDR",
        value_delimiter = ',',
        value_parser = parse_network
    )]
    pub trusted_proxies: Vec<IpNet>,

    /// Sign-in for reading: none (everybody who reaches the page may read) or token (a Kubernetes token of a user who may
    /// list every kind of maglev.vpp.io in all namespaces)
    #[arg(long, env = "MAGLEV_FRONTEND_AUTH_MODE", value_name = "MODE", default_value = "none")]
    pub auth_mode: AuthMode,

    /// Sign-in for changes: off (read-only), basic (one user with a password) or token (a Kubernetes token, which the
    /// API server authorizes)
    #[arg(long, env = "MAGLEV_FRONTEND_ADMIN_MODE", value_name = "MODE", default_value = "off")]
    pub admin_mode: AdminMode,

    /// With --admin-mode=basic: directory with the files username and password; changes take effect within
    /// seconds
    #[arg(
        long,
        env = "MAGLEV_FRONTEND_ADMIN_CREDENTIALS_DIR",
        value_name = "PATH",
        required_if_eq("admin_mode", "basic")
    )]
    pub admin_credentials_dir: Option<PathBuf>,

    /// With --auth-mode=token or --admin-mode: file with at least 32 random bytes to encrypt cookies with, the same for all
    /// replicas
    #[arg(
        long,
        env = "MAGLEV_FRONTEND_ADMIN_KEY_FILE",
        value_name = "PATH",
        required_if_eq_any([("admin_mode", "basic"), ("admin_mode", "token"), ("auth_mode", "token")])
    )]
    pub admin_key_file: Option<PathBuf>,

    /// Log format: text or json
    #[arg(long, env = "MAGLEV_FRONTEND_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// Minimum log level: debug, info, warn or error
    #[arg(long, env = "MAGLEV_FRONTEND_LOG_LEVEL", value_name = "LEVEL", default_value = "info", value_parser = parse_level)]
    pub log_level: Level,

    /// Path of the kubeconfig [default: KUBECONFIG, else ~/.kube/config, else the pod's ServiceAccount]
    #[arg(long, env = "MAGLEV_FRONTEND_KUBECONFIG", value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
}

/// Sign-in for reading. Described at the flag, since doc comments here would make `--help` twice as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuthMode {
    None,
    Token,
}

/// Sign-in for changes. Described at the flag, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AdminMode {
    Off,
    Basic,
    Token,
}

/// Parses a network, or an address as the network of that address alone.
fn parse_network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    network.ok_or_else(|| format!("found {text:?}, allowed is an address or ADDRESS/LENGTH"))
}

impl Flags {
    /// Listen addresses of the page.
    pub fn http_addrs(&self) -> Vec<SocketAddr> {
        if self.http_addr.is_empty() { vec![(self.pod_ip, 8080).into()] } else { self.http_addr.clone() }
    }

    /// Security of the connections to the agents in `namespace`.
    pub fn agent_security(&self, namespace: &str) -> Result<Security, Error> {
        let (authorities, token) = (self.agent_ca_file.as_deref(), self.agent_token_file.as_deref());
        let security = Security::from_files(namespace, authorities, token)?;
        Ok(Security { plain_fallback: self.agent_plain_fallback, ..security })
    }

    /// Listen address of the HTTP endpoints.
    pub fn metrics_addr(&self) -> SocketAddr {
        self.metrics_addr.unwrap_or_else(|| (self.pod_ip, 9092).into())
    }
}
