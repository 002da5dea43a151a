//! Child processes that never outlive the sandbox.
//!
//! Used by `control_plane`, `node` (for pods) and `up`, which decide on restarts and the order of stopping.
//!
//! The kernel sends SIGKILL to every child when its parent dies (`PR_SET_PDEATHSIG`). The parent is the *thread* that
//! spawned the child, so one thread spawns all children and lives as long as any [`Processes`] or [`Process`]. Each child
//! leads its own process group: Ctrl-C in a terminal reaches only the sandbox, which stops its children in order, and
//! processes left in the group of a child end with the child.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::SandboxError;

/// Size of the end of a log that is included in errors, in bytes.
const TAIL: u64 = 4096;

/// A program to run, with arguments and environment.
#[derive(Debug, Clone)]
pub struct Launch {
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    clear_env: bool,
    dir: Option<PathBuf>,
    log: PathBuf,
}

impl Launch {
    /// Runs `program`. Appends its stdout and stderr to the file `log`, whose directory is created.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            clear_env: false,
            dir: None,
            log: log.into(),
        }
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Starts with an empty environment instead of the sandbox's.
    pub fn clear_env(mut self) -> Self {
        self.clear_env = true;
        self
    }

    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    fn command(&self) -> io::Result<Command> {
        if let Some(dir) = self.log.parent() {
            fs::create_dir_all(dir)?;
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        if self.clear_env {
            command.env_clear();
        }
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        end_with_parent(&mut command);
        Ok(command)
    }
}

/// Has the kernel kill the child when the thread that spawns it ends.
#[expect(unsafe_code, reason = "std offers no other way to run code between fork and exec")]
fn end_with_parent(command: &mut Command) {
    let parent = Pid::this();
    let set = move || {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have died before this call.
        if Pid::parent() == parent { Ok(()) } else { Err(io::Error::from(Errno::ESRCH)) }
    };
    // SAFETY: between fork and exec the closure makes two system calls (prctl, getppid), both async-signal-safe, and
    // accesses no memory except its copy of a process ID.
    unsafe {
        command.pre_exec(set);
    }
}

struct Request {
    launch: Launch,
    response: oneshot::Sender<io::Result<Child>>,
}

/// The thread that spawns all children. Shared by clones; ends after the last clone and the last [`Process`] are dropped,
/// and with it any remaining child.
#[derive(Debug, Clone)]
pub struct Processes {
    requests: mpsc::Sender<Request>,
}

impl Processes {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system cannot create a thread.
    pub fn start() -> Result<Self, SandboxError> {
        let (requests, request_rx) = mpsc::channel::<Request>();
        let spawn_all = move || {
            for Request { launch, response } in request_rx {
                let child = launch.command().and_then(|mut command| command.spawn());
                if let Err(Ok(mut orphan)) = response.send(child) {
                    // The caller has been dropped.
                    let _ = orphan.kill();
                    let _ = orphan.wait();
                }
            }
        };
        std::thread::Builder::new().name("spawner".into()).spawn(spawn_all).map_err(|source| SandboxError::Spawn {
            name: "the spawning thread".into(),
            program: PathBuf::new(),
            source,
        })?;
        Ok(Self { requests })
    }

    /// Starts one child.
    ///
    /// # Errors
    /// The binary cannot be executed, or the log file cannot be opened.
    pub async fn spawn(&self, launch: Launch) -> Result<Process, SandboxError> {
        let (name, program, log) = (launch.name.clone(), launch.program.clone(), launch.log.clone());
        let (response, child) = oneshot::channel();
        let stopping = |name: &str| SandboxError::Stopping { name: name.to_owned() };
        self.requests.send(Request { launch, response }).map_err(|_| stopping(&name))?;
        let child = child.await.map_err(|_| stopping(&name))?;
        let child = child.map_err(|source| SandboxError::Spawn { name: name.clone(), program, source })?;
        Ok(Process::watch(name, log, child, self.clone()))
    }
}

/// A running child. Dropping it kills the child and its group.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    group: Arc<Group>,
    exit_rx: watch::Receiver<Option<ExitStatus>>,
}

/// The child's process group. Not signalled after the child has been reaped, when the ID can belong to another group.
#[derive(Debug)]
struct Group {
    leader: Pid,
    reaped: Mutex<bool>,
}

impl Group {
    fn signal(&self, signal: Signal) {
        let reaped = self.reaped.lock();
        if !*reaped {
            // Fails only if the group is empty.
            let _ = killpg(self.leader, signal);
        }
    }

    /// Waits for the leader, kills the rest of its group and only then reaps the leader, which frees the ID.
    fn reap(&self, child: &mut Child) -> io::Result<ExitStatus> {
        while let Err(Errno::EINTR) = waitid(Id::Pid(self.leader), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {}
        let mut reaped = self.reaped.lock();
        let _ = killpg(self.leader, Signal::SIGKILL);
        let status = child.wait();
        *reaped = true;
        status
    }
}

impl Process {
    fn watch(name: String, log: PathBuf, mut child: Child, processes: Processes) -> Self {
        let leader = Pid::from_raw(i32::try_from(child.id()).expect("process ids fit in pid_t"));
        let group = Arc::new(Group { leader, reaped: Mutex::new(false) });
        let (exit_tx, exit_rx) = watch::channel(None);
        let reaper = Arc::clone(&group);
        std::thread::spawn(move || {
            let status = reaper.reap(&mut child);
            exit_tx.send_replace(status.ok());
            drop(processes);
        });
        Self { name, log, group, exit_rx }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The child's process ID; valid while [`Process::exited`] is `None`.
    pub fn pid(&self) -> u32 {
        self.group.leader.as_raw().unsigned_abs()
    }

    /// The file with stdout and stderr.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The exit status; `None` while the child runs.
    pub fn exited(&self) -> Option<ExitStatus> {
        *self.exit_rx.borrow()
    }

    /// Waits for the exit.
    pub async fn wait(&self) -> ExitStatus {
        let mut exit_rx = self.exit_rx.clone();
        let ended = exit_rx.wait_for(Option::is_some).await.ok().and_then(|status| *status);
        // Missing if waiting for the child failed.
        ended.unwrap_or_default()
    }

    /// Sends a signal to the child and its group, unless the child has exited.
    pub fn signal(&self, signal: Signal) {
        self.group.signal(signal);
    }

    /// Sends SIGTERM, and SIGKILL after `grace`. Returns the exit status.
    pub async fn stop(&self, grace: Duration) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        if let Ok(status) = tokio::time::timeout(grace, self.wait()).await {
            return status;
        }
        self.signal(Signal::SIGKILL);
        self.wait().await
    }

    /// The last lines of the log.
    pub fn log_tail(&self) -> String {
        log_tail(&self.log).unwrap_or_else(|error| format!("(cannot read the log: {error})"))
    }

    /// The exit as an error, with the end of the log; `None` while the child runs.
    pub fn exit_error(&self) -> Option<SandboxError> {
        let status = self.exited()?.to_string();
        Some(SandboxError::Exited { name: self.name.clone(), status, log: self.log.clone(), tail: self.log_tail() })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// The last lines of a file, at most [`TAIL`] bytes.
fn log_tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let start = size.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let whole = if start == 0 { &text } else { text.split_once('\n').map_or(text.as_ref(), |(_, rest)| rest) };
    Ok(whole.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(dir: &Path, script: &str) -> Launch {
        Launch::new("shell", "/bin/sh", dir.join("logs/shell.log")).args(["-c", script])
    }

    async fn until(what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while !condition() {
            assert!(tokio::time::Instant::now() < deadline, "{what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn runs(pid: &str) -> bool {
        // Zombies do not count.
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[tokio::test]
    async fn exit_status_and_output_are_available() {
        let dir = tempfile::tempdir().unwrap();
        let processes = Processes::start().unwrap();
        let child = processes.spawn(shell(dir.path(), "echo out; echo err >&2; exit 7")).await.unwrap();
        assert_eq!(child.wait().await.code(), Some(7));
        assert_eq!(child.log_tail(), "out\nerr");
        assert!(child.exit_error().unwrap().to_string().contains("exit status: 7"));
    }

    #[tokio::test]
    async fn child_that_ignores_sigterm_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let processes = Processes::start().unwrap();
        let child =
            processes.spawn(shell(dir.path(), "trap '' TERM; echo up; while :; do sleep 1; done")).await.unwrap();
        until("the trap is set", || child.log_tail() == "up").await;
        let status = child.stop(Duration::from_millis(50)).await;
        assert!(status.to_string().contains("signal: 9"), "{status}");
    }

    #[tokio::test]
    async fn grandchildren_end_with_the_child() {
        let dir = tempfile::tempdir().unwrap();
        let processes = Processes::start().unwrap();
        let child = processes.spawn(shell(dir.path(), "sleep 1000 & echo $!")).await.unwrap();
        child.wait().await;
        let grandchild = child.log_tail();
        until("the grandchild is gone", || !runs(&grandchild)).await;
    }

    #[tokio::test]
    async fn dropping_the_handle_kills_the_child() {
        let dir = tempfile::tempdir().unwrap();
        let processes = Processes::start().unwrap();
        let child = processes.spawn(shell(dir.path(), "exec sleep 1000")).await.unwrap();
        let pid = child.pid().to_string();
        assert!(runs(&pid));
        drop(child);
        until("the child is gone", || !runs(&pid)).await;
    }

    #[tokio::test]
    async fn missing_binary_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let processes = Processes::start().unwrap();
        let launch = Launch::new("ghost", "/nowhere/ghost", dir.path().join("ghost.log"));
        let error = processes.spawn(launch).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot start ghost (/nowhere/ghost)");
    }

    #[tokio::test]
    async fn environment_can_be_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let processes = Processes::start().unwrap();
        let child =
            processes.spawn(shell(dir.path(), "echo \"[$HOME] $ONE\"").clear_env().env("ONE", "1")).await.unwrap();
        child.wait().await;
        assert_eq!(child.log_tail(), "[] 1");
    }
}
