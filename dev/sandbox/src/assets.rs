//! The control plane's binaries, from a given directory or from `hack/kube/build`.
//!
//! Used by the tests and by `up`. Versions and the layout of the cache are defined by the script.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::SandboxError;

/// One of the control plane's binaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    Etcd,
    Helm,
    ApiServer,
    ControllerManager,
    Scheduler,
    Kubectl,
}

impl Tool {
    pub const ALL: [Self; 6] =
        [Self::Etcd, Self::Helm, Self::ApiServer, Self::ControllerManager, Self::Scheduler, Self::Kubectl];

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
    /// # Errors
    /// [`SandboxError::Assets`] names the first missing binary.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Result<Self, SandboxError> {
        let assets = Self { dir: dir.into() };
        match Tool::ALL.into_iter().find(|tool| !assets.path(*tool).is_file()) {
            None => Ok(assets),
            Some(tool) => Err(SandboxError::Assets {
                reason: format!("{} not found in {}", tool.file_name(), assets.dir.display()),
            }),
        }
    }

    /// Runs `hack/kube/build` of the checkout at `root`. The script uses `MAGLEV_KUBE_ASSETS`, else its cache, else builds
    /// the binaries in about nine minutes, with progress on standard error.
    ///
    /// # Errors
    /// [`SandboxError::Assets`] if the script is missing or fails.
    pub async fn from_checkout(root: &Path) -> Result<Self, SandboxError> {
        let script = root.join("hack/kube/build");
        let built = tokio::process::Command::new(&script).stdin(Stdio::null()).stderr(Stdio::inherit()).output().await;
        let built = built
            .map_err(|error| SandboxError::Assets { reason: format!("cannot run {}: {error}", script.display()) })?;
        if !built.status.success() {
            return Err(SandboxError::Assets { reason: format!("{} ended with {}", script.display(), built.status) });
        }
        Self::in_dir(String::from_utf8_lossy(&built.stdout).trim())
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn path(&self, tool: Tool) -> PathBuf {
        self.dir.join(tool.file_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_binary_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("etcd"), "").unwrap();
        let err = Assets::in_dir(dir.path()).unwrap_err();
        assert!(err.to_string().contains("helm not found in"), "{err}");
        assert!(err.to_string().contains("make kube"), "{err}");
    }
}
