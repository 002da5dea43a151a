//! Errors that prevent the start of a container, for its `waiting` state.

use std::path::PathBuf;

/// An error in the status of the pod; the start is retried.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("no binary {name:?} in {}: the sandbox runs only binaries of that directory", dir.display())]
    NoBinary { name: String, dir: PathBuf },
    #[error("the container has no command: the sandbox has no images to read a command from")]
    NoCommand,
    /// A feature of a kubelet that the sandbox does not implement.
    #[error("the sandbox does not support {what}")]
    Unsupported { what: String },
    #[error("the container has no port {port:?}")]
    NoPort { port: String },
    /// A missing ConfigMap, Secret or key.
    #[error("{what} not found")]
    Missing { what: String },
    #[error("the pod has no volume {name:?}")]
    NoVolume { name: String },
    /// A hostPath that does not match its type.
    #[error("hostPath {path:?} is not a {kind} on this node ({})", real.display())]
    HostPath { path: String, kind: String, real: PathBuf },
    #[error("cannot write {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot {what}: {source}")]
    Api {
        what: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("cannot start the process: {source}")]
    Start {
        #[source]
        source: crate::SandboxError,
    },
}

impl ConfigError {
    /// The reason of the waiting state, as reported by a kubelet.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoBinary { .. } => "ErrImagePull",
            Self::HostPath { .. } | Self::File { .. } | Self::NoVolume { .. } => "FailedMount",
            Self::Start { .. } => "RunContainerError",
            Self::NoCommand
            | Self::Unsupported { .. }
            | Self::NoPort { .. }
            | Self::Missing { .. }
            | Self::Api { .. } => "CreateContainerConfigError",
        }
    }
}
