//! The sandbox's directory: one sandbox at a time, what an earlier one left is removed, and where things lie in it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::nodes::NodeSpec;
use crate::SandboxError;
use crate::assets::{Assets, Tool};

/// What a sandbox makes in its directory; nothing else there is touched.
const OURS: [&str; 9] = ["backends.sock", "bin", "etcd", "helm", "kubeconfig", "logs", "nodes", "pki", "ready"];
/// What the chart's pods run.
const PROGRAMS: [&str; 3] = ["maglevd", "maglev-controller", "maglev-frontend"];
/// The longest path a Unix socket can have.
const SOCKET_PATH: usize = 107;

/// The directory, locked.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Directory {
    /// Takes the directory for this process and removes what an earlier sandbox left in it.
    pub fn open(path: &Path, nodes: &[NodeSpec]) -> Result<Self, SandboxError> {
        fs::create_dir_all(path).map_err(SandboxError::file("create", path))?;
        let path = path.canonicalize().map_err(SandboxError::file("find", path))?;
        let lock = path.join("lock");
        let file = File::create(&lock).map_err(SandboxError::file("create", &lock))?;
        let held = Flock::lock(file, FlockArg::LockExclusiveNonblock);
        let _lock = held.map_err(|_| SandboxError::Usage {
            what: format!("another sandbox is running in {}: stop it, or take another --dir", path.display()),
        })?;
        let directory = Self { path, _lock };
        directory.check_length(nodes)?;
        directory.clean()?;
        Ok(directory)
    }

    fn check_length(&self, nodes: &[NodeSpec]) -> Result<(), SandboxError> {
        let too_long = |node: &&NodeSpec| self.socket(node, "stats.sock").as_os_str().len() > SOCKET_PATH;
        match nodes.iter().find(too_long) {
            None => Ok(()),
            Some(node) => Err(SandboxError::Usage {
                what: format!(
                    "--dir is too long: {} has more than the {SOCKET_PATH} bytes a socket's path may have",
                    self.socket(node, "stats.sock").display()
                ),
            }),
        }
    }

    fn clean(&self) -> Result<(), SandboxError> {
        for name in OURS {
            let path = self.path.join(name);
            let removed = match fs::symlink_metadata(&path) {
                Err(_) => continue,
                Ok(found) if found.is_dir() => fs::remove_dir_all(&path),
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

    /// What stands for the node's `/`.
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

    /// The log file of one child.
    pub fn log(&self, name: &str) -> PathBuf {
        self.path.join(format!("logs/{name}.log"))
    }

    /// Where the programs are that a person wants at hand.
    pub fn bin(&self) -> PathBuf {
        self.path.join("bin")
    }

    /// Puts kubectl, helm and our own programs into `DIR/bin`; maglevc also as kubectl's plugin.
    pub fn link_programs(&self, assets: &Assets, binaries: &Path) -> Result<(), SandboxError> {
        let bin = self.bin();
        fs::create_dir_all(&bin).map_err(SandboxError::file("create", &bin))?;
        let maglevc = binaries.join("maglevc");
        let programs = [
            (assets.path(Tool::Kubectl), "kubectl"),
            (assets.path(Tool::Helm), "helm"),
            (binaries.join("maglev-sandbox"), "maglev-sandbox"),
            (maglevc.clone(), "maglevc"),
            (maglevc, "kubectl-maglev"),
        ];
        // Whoever built the agent alone does without the command line.
        for (program, name) in programs.into_iter().filter(|(program, _)| program.exists()) {
            let link = bin.join(name);
            std::os::unix::fs::symlink(&program, &link).map_err(SandboxError::file("link", link))?;
        }
        Ok(())
    }

    /// Says that all is up.
    pub fn set_ready(&self) -> Result<(), SandboxError> {
        let path = self.path.join("ready");
        fs::write(&path, "").map_err(SandboxError::file("write", path))
    }

    /// Takes that back.
    pub fn unset_ready(&self) {
        // It says nothing that matters once we are gone.
        let _ = fs::remove_file(self.path.join("ready"));
    }
}

/// Where our own programs are: `given`, else beside this one.
pub fn binaries(given: Option<&Path>) -> Result<PathBuf, SandboxError> {
    let own = std::env::current_exe().map_err(SandboxError::file("find", "this program"))?;
    let dir = given.map_or_else(|| own.parent().unwrap_or(Path::new("/")).to_owned(), Path::to_owned);
    let dir = dir.canonicalize().map_err(SandboxError::file("find", dir))?;
    match PROGRAMS.iter().find(|program| !dir.join(program).is_file()) {
        None => Ok(dir),
        Some(program) => Err(SandboxError::Usage {
            what: format!(
                "no {program} in {}: build it with `cargo build --bins`, or say --binaries DIR",
                dir.display()
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_run_left_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("nodes/node-a")).unwrap();
        for file in ["ready", "kubeconfig", "mine.txt"] {
            fs::write(dir.path().join(file), "").unwrap();
        }
        let directory = Directory::open(dir.path(), &NodeSpec::all(1)).unwrap();
        let mut left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["lock", "mine.txt"]);
    }

    #[test]
    fn one_directory_takes_one_sandbox() {
        let dir = tempfile::tempdir().unwrap();
        let first = Directory::open(dir.path(), &NodeSpec::all(1)).unwrap();
        let refused = Directory::open(dir.path(), &NodeSpec::all(1)).unwrap_err();
        assert!(refused.to_string().starts_with("another sandbox is running in"), "{refused}");
        drop(first);
        Directory::open(dir.path(), &NodeSpec::all(1)).unwrap();
    }

    #[test]
    fn a_directory_whose_sockets_would_have_too_long_names_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refused = Directory::open(&dir.path().join("x".repeat(90)), &NodeSpec::all(1)).unwrap_err();
        assert!(refused.to_string().starts_with("--dir is too long"), "{refused}");
    }
}
