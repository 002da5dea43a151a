//! The sandbox's directory: locking, removal of earlier files, and paths.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::nodes::NodeSpec;
use crate::SandboxError;
use crate::assets::{Assets, Tool};

/// The entries that a sandbox creates in its directory, and removes at its start. Other entries are not touched.
const MANAGED: [&str; 9] = ["backends.sock", "bin", "etcd", "helm", "kubeconfig", "logs", "nodes", "pki", "ready"];
/// The programs of the chart's pods.
const PROGRAMS: [&str; 3] = ["maglevd", "maglev-controller", "maglev-frontend"];
/// Maximum length of the path of a Unix socket, in bytes.
const SOCKET_PATH: usize = 107;

/// The directory, locked.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Directory {
    /// Locks the directory and removes the files of an earlier sandbox.
    pub fn open(path: &Path, nodes: &[NodeSpec]) -> Result<Self, SandboxError> {
        fs::create_dir_all(path).map_err(SandboxError::file("create", path))?;
        let path = path.canonicalize().map_err(SandboxError::file("find", path))?;
        let lock = path.join("lock");
        let file = File::create(&lock).map_err(SandboxError::file("create", &lock))?;
        let locked = Flock::lock(file, FlockArg::LockExclusiveNonblock);
        let _lock = locked.map_err(|_| SandboxError::Usage {
            message: format!("another sandbox is running in {}: stop it, or use another --dir", path.display()),
        })?;
        let directory = Self { path, _lock };
        directory.check_length(nodes)?;
        directory.clean()?;
        Ok(directory)
    }

    fn check_length(&self, nodes: &[NodeSpec]) -> Result<(), SandboxError> {
        let too_long = |node: &&NodeSpec| self.packets_socket(node).as_os_str().len() > SOCKET_PATH;
        match nodes.iter().find(too_long) {
            None => Ok(()),
            Some(node) => Err(SandboxError::Usage {
                message: format!(
                    "--dir is too long: the path of a socket is limited to {SOCKET_PATH} bytes, but {} is longer",
                    self.packets_socket(node).display()
                ),
            }),
        }
    }

    fn clean(&self) -> Result<(), SandboxError> {
        for name in MANAGED {
            let path = self.path.join(name);
            let removed = match fs::symlink_metadata(&path) {
                Err(_) => continue,
                Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&path),
                Ok(_) => fs::remove_file(&path),
            };
            removed.map_err(SandboxError::file("remove", path))?;
        }
        Ok(())
    }

    /// The directory itself, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that represents the node's `/`.
    pub fn node_root(&self, node: &NodeSpec) -> PathBuf {
        self.path.join("nodes").join(&node.name)
    }

    /// The node's `/run/vpp`.
    pub fn run_vpp(&self, node: &NodeSpec) -> PathBuf {
        self.node_root(node).join("run/vpp")
    }

    /// One of VPP's sockets on the node.
    pub fn socket(&self, node: &NodeSpec, name: &str) -> PathBuf {
        self.run_vpp(node).join(name)
    }

    /// The socket for packets through the node's simulated VPP.
    pub fn packets_socket(&self, node: &NodeSpec) -> PathBuf {
        self.socket(node, "packets.sock")
    }

    /// The log file of one child.
    pub fn log(&self, name: &str) -> PathBuf {
        self.path.join(format!("logs/{name}.log"))
    }

    /// The directory with programs for the user.
    pub fn bin(&self) -> PathBuf {
        self.path.join("bin")
    }

    /// Links kubectl, helm and the project's programs into `DIR/bin`, and maglevc as a kubectl plugin.
    pub fn link_programs(&self, assets: &Assets, binaries: &Path) -> Result<(), SandboxError> {
        let bin = self.bin();
        fs::create_dir_all(&bin).map_err(SandboxError::file("create", &bin))?;
        let maglevc = binaries.join("maglevc");
        let programs = [
            (assets.path(Tool::Kubectl), "kubectl"),
            (assets.path(Tool::Helm), "helm"),
            (binaries.join("maglev-sandbox"), "maglev-sandbox"),
            (binaries.join("maglev-tester"), "maglev-tester"),
            (maglevc.clone(), "maglevc"),
            (maglevc, "kubectl-maglev"),
        ];
        // Skips programs that have not been built.
        for (program, name) in programs.into_iter().filter(|(program, _)| program.exists()) {
            let link = bin.join(name);
            std::os::unix::fs::symlink(&program, &link).map_err(SandboxError::file("link", link))?;
        }
        Ok(())
    }

    /// Creates the file `ready`.
    pub fn set_ready(&self) -> Result<(), SandboxError> {
        let path = self.path.join("ready");
        fs::write(&path, "").map_err(SandboxError::file("write", path))
    }

    /// Removes the file `ready`.
    pub fn unset_ready(&self) {
        // A leftover file is removed at the next start.
        let _ = fs::remove_file(self.path.join("ready"));
    }
}

/// The directory of the project's programs: `flag`, else the directory of this program.
pub fn binaries(flag: Option<&Path>) -> Result<PathBuf, SandboxError> {
    let own = std::env::current_exe().map_err(SandboxError::file("find", "this program"))?;
    let dir = flag.map_or_else(|| own.parent().unwrap_or(Path::new("/")).to_owned(), Path::to_owned);
    let dir = dir.canonicalize().map_err(SandboxError::file("find", dir))?;
    match PROGRAMS.iter().find(|program| !dir.join(program).is_file()) {
        None => Ok(dir),
        Some(program) => Err(SandboxError::Usage {
            message: format!(
                "{program} not found in {}: build it with `cargo build --bins`, or set --binaries DIR",
                dir.display()
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_an_earlier_run_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("nodes/node-a")).unwrap();
        for file in ["ready", "kubeconfig", "mine.txt"] {
            fs::write(dir.path().join(file), "").unwrap();
        }
        let directory = Directory::open(dir.path(), &NodeSpec::all(1)).unwrap();
        let mut remaining: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        remaining.sort();
        assert_eq!(remaining, ["lock", "mine.txt"]);
    }

    #[test]
    fn directory_is_locked_by_its_sandbox() {
        let dir = tempfile::tempdir().unwrap();
        let first = Directory::open(dir.path(), &NodeSpec::all(1)).unwrap();
        let refused = Directory::open(dir.path(), &NodeSpec::all(1)).unwrap_err();
        assert!(refused.to_string().starts_with("another sandbox is running in"), "{refused}");
        drop(first);
        Directory::open(dir.path(), &NodeSpec::all(1)).unwrap();
    }

    #[test]
    fn directory_with_too_long_socket_paths_is_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let refused = Directory::open(&dir.path().join("x".repeat(90)), &NodeSpec::all(1)).unwrap_err();
        assert!(refused.to_string().starts_with("--dir is too long"), "{refused}");
    }
}
