//! Why a container cannot be started, for its `waiting` state. Internal to the node.

use std::path::PathBuf;

/// Each is shown to the person who looks at the pod, and tried again.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The command names no binary of ours.
    #[error("no binary named {name:?} in the sandbox ({}): a container runs one of our own binaries", dir.display())]
    NoBinary { name: String, dir: PathBuf },
    /// Neither command nor args: the sandbox has no images to take a command from.
    #[error("the container has no command, and the sandbox has no image to take one from")]
    NoCommand,
    /// Something a real kubelet would do and this one does not.
    #[error("the sandbox does not have {what}")]
    Unsupported { what: String },
    /// A probe's port.
    #[error("the container has no port {port:?}")]
    NoPort { port: String },
    /// A ConfigMap or Secret, or a key of it, that is not there.
    #[error("{what} not found")]
    Missing { what: String },
    /// A mount without a volume, which the API server does not accept.
    #[error("the pod has no volume {name:?}")]
    NoVolume { name: String },
    /// A hostPath whose type says that it must be there.
    #[error("hostPath {path:?} is not a {kind} on this node ({})", real.display())]
    HostPath { path: String, kind: String, real: PathBuf },
    /// A file or directory of the pod.
    #[error("could not write {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The API server did not give what the pod refers to.
    #[error("could not {what}: {source}")]
    Api {
        what: String,
        #[source]
        source: Box<kube::Error>,
    },
    /// The process could not be started.
    #[error("could not start the process: {source}")]
    Start {
        #[source]
        source: crate::SandboxError,
    },
}

impl ConfigError {
    /// The reason of the waiting state, in a kubelet's words where it has some.
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
