//! Errors of the sandbox.

use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    #[error("cannot {action} {}", path.display())]
    File {
        /// The operation: `read`, `write`, `create`, …
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot start {name} ({})", program.display())]
    Spawn {
        name: String,
        program: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The thread that spawns children has ended, since the sandbox is stopping.
    #[error("cannot start {name}: the sandbox is stopping")]
    Stopping { name: String },
    /// A child exited unexpectedly.
    #[error("{name} exited with {status}; end of {}:\n{tail}", log.display())]
    Exited {
        name: String,
        status: String,
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    #[error("{name} was not ready after {} s ({last}); end of {}:\n{tail}", within.as_secs(), log.display())]
    NotReady {
        name: String,
        within: Duration,
        /// The last result of the readiness check.
        last: String,
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    #[error(
        "the control plane's binaries are missing: {reason} (build them with `make kube`, or set MAGLEV_KUBE_ASSETS)"
    )]
    Assets { reason: String },
    #[error("no free port on 127.0.0.1 between {from} and {to}")]
    NoPort { from: u16, to: u16 },
    #[error("cannot listen on {address}")]
    Listen {
        address: std::net::SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot serve TLS as {name}")]
    Tls {
        name: String,
        #[source]
        source: rustls::Error,
    },
    #[error("cannot issue the certificate of {name}")]
    Certificate {
        name: String,
        #[source]
        source: rcgen::Error,
    },
    #[error("cannot {action} the kubeconfig {}", path.display())]
    Kubeconfig {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A request to the API server failed.
    #[error("cannot {action}")]
    Api {
        action: String,
        #[source]
        source: Box<kube::Error>,
    },
    /// helm or kubectl failed.
    #[error("{command} failed with {status}: {stderr}")]
    Tool { command: String, status: String, stderr: String },
    #[error("timed out waiting for {what} after {} s: {last}", within.as_secs())]
    Timeout {
        what: String,
        within: Duration,
        /// The last observed state.
        last: String,
    },
    #[error("cannot run the demo backends")]
    Backends(#[from] super::demo_backend::DemoBackendError),
    #[error("cannot forward packets")]
    Packets(#[from] super::packets::PacketsError),
    /// An invalid argument.
    #[error("{message}")]
    Usage { message: String },
}

impl SandboxError {
    pub fn reason(&self) -> &'static str {
        match self {
            Self::File { .. } => "File",
            Self::Spawn { .. } => "Spawn",
            Self::Stopping { .. } => "Stopping",
            Self::Exited { .. } => "Exited",
            Self::NotReady { .. } => "NotReady",
            Self::Assets { .. } => "Assets",
            Self::NoPort { .. } => "NoPort",
            Self::Listen { .. } => "Listen",
            Self::Tls { .. } => "Tls",
            Self::Certificate { .. } => "Certificate",
            Self::Kubeconfig { .. } => "Kubeconfig",
            Self::Api { .. } => "Api",
            Self::Tool { .. } => "Tool",
            Self::Timeout { .. } => "Timeout",
            Self::Backends(source) => source.reason(),
            Self::Packets(source) => source.reason(),
            Self::Usage { .. } => "Usage",
        }
    }

    /// True if a child exited because its port is in use.
    pub(crate) fn is_port_taken(&self) -> bool {
        matches!(self, Self::Exited { tail, .. } if tail.contains("address already in use"))
    }

    /// The error of a file operation, for `map_err`.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    /// The error of a request to the API server, for `map_err`.
    pub(crate) fn api(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |source| Self::Api { action, source: Box::new(source) }
    }
}
