//! The network namespaces of a sandbox: named, so that `ip netns` shows them, and removed when the sandbox ends.
//!
//! The names contain a hash of the sandbox's directory. So the next sandbox in that directory finds and removes the
//! namespaces of a killed one.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use nix::sched::{CloneFlags, setns};
use tokio::{
    net::{TcpSocket, TcpStream},
    runtime::Handle,
    sync::oneshot,
};

use super::PacketsError;

/// The directory in which `ip netns` keeps named namespaces.
const NAMED_DIRECTORY: &str = "/run/netns";
/// The directory of shared memory, in which VPP leaves files.
const SHARED_MEMORY: &str = "/dev/shm";
/// The namespace of the clients.
const CLIENT: &str = "client";

/// One network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// The namespace of the clients of the sandbox in `dir`.
    pub fn client(dir: &Path) -> Self {
        Self { name: format!("{}{CLIENT}", prefix(dir)) }
    }

    /// The namespace of a backend of the sandbox in `dir`.
    pub fn backend(dir: &Path, backend: &str) -> Self {
        Self { name: format!("{}{backend}", prefix(dir)) }
    }

    /// The namespace of a node's real VPP in the sandbox in `dir`. No backend has the name of a node.
    pub fn node(dir: &Path, node: &str) -> Self {
        Self { name: format!("{}{node}", prefix(dir)) }
    }

    /// The namespace of the pod with this address in the sandbox in `dir`.
    pub fn pod(dir: &Path, address: Ipv4Addr) -> Self {
        Self { name: format!("{}pod-{address}", prefix(dir)) }
    }

    /// The name that `ip netns` shows.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn path(&self) -> PathBuf {
        Path::new(NAMED_DIRECTORY).join(&self.name)
    }

    pub fn exists(&self) -> bool {
        self.path().exists()
    }

    /// Runs `task` on a new thread inside the namespace, within the caller's runtime. Sockets and devices that the task
    /// opens stay in the namespace.
    ///
    /// # Errors
    /// The namespace cannot be entered, or the error of the task.
    pub async fn run<T: Send + 'static>(&self, task: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let (path, runtime) = (self.path(), Handle::current());
        let (result_tx, result_rx) = oneshot::channel();
        let enter_and_run = move || {
            setns(File::open(path)?, CloneFlags::CLONE_NEWNET)?;
            let _guard = runtime.enter();
            task()
        };
        thread::Builder::new().name("namespace".into()).spawn(move || {
            // The receiver is gone if the caller has been dropped.
            let _ = result_tx.send(enter_and_run());
        })?;
        result_rx.await.map_err(io::Error::other)?
    }

    /// Connects from inside the namespace.
    ///
    /// # Errors
    /// The namespace cannot be entered, or the connection is not accepted.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket =
            self.run(move || if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }).await?;
        socket.connect(address).await
    }

    /// Runs commands of `ip`, one per line, in the namespace.
    ///
    /// # Errors
    /// A command failed. The commands before it are in effect.
    pub fn configure(&self, commands: &str) -> Result<(), PacketsError> {
        run_ip(&["-n", &self.name, "-batch", "-"], commands)
    }
}

/// The namespaces of one sandbox. Removed when dropped.
#[derive(Debug)]
pub struct Namespaces {
    prefix: String,
    client: Namespace,
    backends: Vec<Namespace>,
    nodes: Vec<Namespace>,
}

impl Namespaces {
    /// Creates a namespace for the clients and one for each of `backends` and `nodes`.
    ///
    /// # Errors
    /// A namespace cannot be created. None remains.
    pub fn create(dir: &Path, backends: &[String], nodes: &[String]) -> Result<Self, PacketsError> {
        let client = Namespace::client(dir);
        let backends = backends.iter().map(|backend| Namespace::backend(dir, backend)).collect();
        let nodes = nodes.iter().map(|node| Namespace::node(dir, node)).collect();
        let namespaces = Self { prefix: prefix(dir), client, backends, nodes };
        let all = [&namespaces.client].into_iter().chain(&namespaces.backends).chain(&namespaces.nodes);
        all.into_iter().try_for_each(Namespace::create)?;
        Ok(namespaces)
    }

    pub fn client(&self) -> &Namespace {
        &self.client
    }

    /// The namespaces of the backends, in the order of [`Self::create`].
    pub fn backends(&self) -> &[Namespace] {
        &self.backends
    }

    /// The namespaces of the nodes with real VPPs, in the order of [`Self::create`].
    pub fn nodes(&self) -> &[Namespace] {
        &self.nodes
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        if let Err(error) = remove_with(&self.prefix) {
            tracing::warn!(%error, "cannot remove the network namespaces of the sandbox");
        }
    }
}

impl Namespace {
    fn create(&self) -> Result<(), PacketsError> {
        run_ip(&["netns", "add", &self.name], "")?;
        self.configure("link set lo up\n")
    }

    /// Creates the namespace after removing one with its name.
    pub(super) fn create_again(&self) -> Result<(), PacketsError> {
        if self.exists() {
            self.delete()?;
        }
        self.create()
    }

    pub(super) fn delete(&self) -> Result<(), PacketsError> {
        run_ip(&["netns", "delete", &self.name], "")
    }
}

/// Removes the namespaces of an earlier sandbox in `dir`, and the shared memory of its VPPs.
///
/// # Errors
/// A namespace cannot be removed.
pub fn remove_earlier(dir: &Path) -> Result<(), PacketsError> {
    remove_with(&prefix(dir))
}

fn remove_with(prefix: &str) -> Result<(), PacketsError> {
    for name in names_with(prefix, SHARED_MEMORY) {
        // A file that is gone already is no failure, and one that stays is replaced by the next VPP with its name.
        let _ = fs::remove_file(Path::new(SHARED_MEMORY).join(name));
    }
    names_with(prefix, NAMED_DIRECTORY).iter().try_for_each(|name| run_ip(&["netns", "delete", name], ""))
}

/// The names in `directory` that begin with `prefix`.
fn names_with(prefix: &str, directory: &str) -> Vec<String> {
    // The directory of namespaces does not exist before the first one is created.
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(prefix)).collect()
}

/// The beginning of the names of all namespaces of the sandbox in `dir`: `maglev-`, eight digits and a hyphen.
fn prefix(dir: &Path) -> String {
    // FNV-1a, since the hash must be the same in every build of this program.
    let bytes = dir.as_os_str().as_encoded_bytes();
    let hash = bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    format!("maglev-{hash:08x}-")
}

fn run_ip(args: &[&str], input: &str) -> Result<(), PacketsError> {
    let spawn_failed = |source| PacketsError::Spawn { source };
    let mut command = Command::new("ip");
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(spawn_failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A closed pipe is the failure that the exit status reports.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(spawn_failed)?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(PacketsError::Ip { command: format!("ip {}", args.join(" ")), stderr })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_depend_on_the_directory() {
        assert_eq!(Namespace::client(Path::new("/demo")).name(), "maglev-b1e535e1-client");
        assert_ne!(prefix(Path::new("/demo")), prefix(Path::new("/demo2")));
    }
}
