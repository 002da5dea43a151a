//! Where the control plane's binaries come from: a directory given by hand, or what `hack/kube/build` built.
//!
//! Called by the tests and by `up`. It knows neither versions nor the cache's layout; the script does.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::SandboxError;

/// One of the control plane's binaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// The store of the API server.
    Etcd,
    /// Installs the chart.
    Helm,
    /// The API server.
    ApiServer,
    /// The controllers: DaemonSets, namespaces, garbage collection, …
    ControllerManager,
    /// Binds pods to nodes.
    Scheduler,
    /// What people type.
    Kubectl,
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Etcd, Self::Helm, Self::ApiServer, Self::ControllerManager, Self::Scheduler, Self::Kubectl];

    /// The binary's file name.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Helm => "helm",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kubectl => "kubectl",
        }
    }
}

/// A directory that holds every [`Tool`].
#[derive(Debug, Clone)]
pub struct Assets {
    dir: PathBuf,
}

impl Assets {
    /// Takes the binaries from `dir`.
    ///
    /// # Errors
    /// [`SandboxError::Assets`] names the first binary that is missing.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Result<Self, SandboxError> {
        let assets = Self { dir: dir.into() };
        match Tool::ALL.into_iter().find(|tool| !assets.path(*tool).is_file()) {
            None => Ok(assets),
            Some(tool) => {
                Err(SandboxError::Assets { why: format!("no {} in {}", tool.file_name(), assets.dir.display()) })
            }
        }
    }

    /// Runs `hack/kube/build` of the checkout at `root`: it takes `MAGLEV_KUBE_ASSETS`, else its cache, else builds for
    /// about nine minutes, with its progress on our stderr.
    ///
    /// # Errors
    /// [`SandboxError::Assets`] when the script is not there or fails.
    pub async fn of_checkout(root: &Path) -> Result<Self, SandboxError> {
        let script = root.join("hack/kube/build");
        let built = tokio::process::Command::new(&script).stdin(Stdio::null()).stderr(Stdio::inherit()).output().await;
        let built =
            built.map_err(|err| SandboxError::Assets { why: format!("cannot run {}: {err}", script.display()) })?;
        if !built.status.success() {
            return Err(SandboxError::Assets { why: format!("{} ended with {}", script.display(), built.status) });
        }
        Self::in_dir(String::from_utf8_lossy(&built.stdout).trim())
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of one binary.
    pub fn path(&self, tool: Tool) -> PathBuf {
        self.dir.join(tool.file_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_all_binaries_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("etcd"), "").unwrap();
        let err = Assets::in_dir(dir.path()).unwrap_err();
        assert!(err.to_string().contains("no helm in"), "{err}");
        assert!(err.to_string().contains("make kube"), "{err}");
    }
}
