//! What can go wrong in the sandbox: one enum for the room.

use std::path::PathBuf;
use std::time::Duration;

/// Why a step of the sandbox failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// A file or directory of the sandbox could not be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was attempted: `read`, `write`, `create`, …
        action: &'static str,
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A child process could not be started.
    #[error("cannot start {name} ({})", program.display())]
    Spawn {
        /// The child's name in the sandbox.
        name: String,
        program: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The thread that spawns all children has ended; the process is going down.
    #[error("cannot start {name}: the sandbox is stopping")]
    Stopping {
        /// The child's name in the sandbox.
        name: String,
    },
    /// A child ended while it was needed.
    #[error("{name} ended with {status}; the end of {} is:\n{tail}", log.display())]
    Exited {
        /// The child's name in the sandbox.
        name: String,
        /// How it ended.
        status: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of that file.
        tail: String,
    },
    /// A child runs but did not become ready in time.
    #[error("{name} was not ready after {} s ({last}); the end of {} is:\n{tail}", within.as_secs(), log.display())]
    NotReady {
        /// The child's name in the sandbox.
        name: String,
        /// How long was waited.
        within: Duration,
        /// The last answer to the readiness question.
        last: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of that file.
        tail: String,
    },
    /// The control plane's binaries are not there and could not be built.
    #[error("the control plane's binaries are missing: {why} (build them with `make kube`, or set MAGLEV_KUBE_ASSETS)")]
    Assets {
        /// What was found.
        why: String,
    },
    /// No free port was found on loopback.
    #[error("no free port on 127.0.0.1 between {from} and {to}")]
    NoPort {
        /// First port tried.
        from: u16,
        /// Last port tried.
        to: u16,
    },
    /// An address could not be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        address: std::net::SocketAddr,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A certificate or key cannot be used.
    #[error("cannot serve TLS as {name}")]
    Tls {
        name: String,
        #[source]
        source: rustls::Error,
    },
    /// A certificate or key could not be made.
    #[error("cannot issue the certificate of {name}")]
    Certificate {
        name: String,
        #[source]
        source: rcgen::Error,
    },
    /// A kubeconfig could not be written down or read back.
    #[error("cannot {action} the kubeconfig {}", path.display())]
    Kubeconfig {
        /// What was attempted.
        action: &'static str,
        path: PathBuf,
        /// What went wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The API server refused or did not answer.
    #[error("cannot {action}")]
    Api {
        /// What was asked of it.
        action: String,
        #[source]
        source: Box<kube::Error>,
    },
    /// A tool (helm, kubectl) ended with an error.
    #[error("{command} failed with {status}: {stderr}")]
    Tool {
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
        /// What it printed.
        stderr: String,
    },
    /// Something did not come true in time.
    #[error("{what} did not happen within {} s: {last}", within.as_secs())]
    Timeout {
        /// What was waited for.
        what: String,
        within: Duration,
        /// What was seen last.
        last: String,
    },
    /// The demo backends could not be started.
    #[error("cannot run the demo backends")]
    Backends(#[from] super::demo_backend::DemoBackendError),
    /// A person asked for something that cannot be.
    #[error("{what}")]
    Usage {
        /// What was found and what is allowed.
        what: String,
    },
}

impl SandboxError {
    /// A fixed word for this kind of failure.
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
            Self::Usage { .. } => "Usage",
        }
    }

    /// Whether the same step may succeed when tried again.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Exited { .. } | Self::NotReady { .. } | Self::NoPort { .. } | Self::Timeout { .. } => true,
            Self::Backends(source) => source.is_transient(),
            Self::Api { source, .. } => !matches!(source.as_ref(), kube::Error::Api(_)),
            _ => false,
        }
    }

    /// Whether a child ended because another process holds the port it was given.
    pub(crate) fn is_port_taken(&self) -> bool {
        matches!(self, Self::Exited { tail, .. } if tail.contains("address already in use"))
    }

    /// An error of a file operation, for `map_err`.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    /// An error of a request to the API server, for `map_err`.
    pub(crate) fn api(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |source| Self::Api { action, source: Box::new(source) }
    }
}
