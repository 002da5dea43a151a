//! Namespaces for tests that need links, routes, capabilities or mounts of their own.

use std::{
    env,
    io::{Write, stderr},
    net::TcpListener,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
};

/// Set to the test's name in a test process that runs in a namespace.
const INSIDE: &str = "MAGLEV_TEST_NETNS";

/// Runs the test `name` again as root in a new network namespace and waits for it. Returns true in that second process,
/// which continues with the test. `wrapper` is a command that starts the second process, such as one that drops a
/// capability.
///
/// If this machine allows no namespaces, the test prints a message and is skipped.
pub fn inside(name: &str, wrapper: &[&str]) -> bool {
    const UP: [&str; 4] = ["sh", "-c", "ip link set lo up && exec \"$@\"", "sh"];
    run_inside(name, "--net", &[&UP[..], wrapper].concat())
}

/// The same in a new mount namespace, whose mounts other processes do not see.
pub fn inside_mount_namespace(name: &str) -> bool {
    run_inside(name, "--mount", &[])
}

fn run_inside(name: &str, namespace: &'static str, wrapper: &[&str]) -> bool {
    if env::var(INSIDE).is_ok_and(|inside| inside == name) {
        return true;
    }
    let Some(unshare) = unshare(namespace, wrapper) else {
        // Written directly, since the test harness captures the output of `eprintln!`.
        let message = format!("{name} is NOT RUN: this user cannot create a namespace\n");
        stderr().write_all(message.as_bytes()).unwrap();
        return false;
    };
    let (program, flags) = unshare.split_first().unwrap();
    let status = Command::new(program)
        .args(flags)
        .arg(env::current_exe().unwrap())
        .args([name, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(INSIDE, name)
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{name} in its namespace: {status}");
    false
}

/// A command that creates a namespace and runs another command in it, through `wrapper`; `None` if no variant works.
fn unshare<'a>(namespace: &'a str, wrapper: &[&'a str]) -> Option<Vec<&'a str>> {
    let variants: [&[&str]; 2] = [&["unshare", namespace], &["unshare", "--user", "--map-root-user", namespace]];
    let with_wrapper = |command: &[&'a str]| [command, wrapper].concat();
    variants.into_iter().map(with_wrapper).find(|command| {
        let status = Command::new(command[0]).args(&command[1..]).arg("true").stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    })
}

/// Runs `ip` with `args`.
pub fn ip(args: &str) {
    let output = Command::new("ip").args(args.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Sets a sysctl of this namespace.
pub fn sysctl(name: &str, value: &str) {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
}

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace other than the process's. A thread in it keeps it alive.
pub struct OtherNamespace {
    /// Path of the namespace's file.
    pub path: String,
    thread: String,
    jobs: mpsc::Sender<Job>,
}

impl OtherNamespace {
    /// Creates a namespace with its loopback up.
    pub fn new() -> Self {
        let (jobs, jobs_rx) = mpsc::channel::<Job>();
        let (created_tx, created_rx) = mpsc::channel();
        std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            ip("link set lo up");
            created_tx.send(nix::unistd::gettid().to_string()).unwrap();
            jobs_rx.into_iter().for_each(|job| job());
        });
        let thread = created_rx.recv().unwrap();
        Self { path: format!("/proc/{}/task/{thread}/ns/net", std::process::id()), thread, jobs }
    }

    /// Runs a job in the namespace.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done_tx, done_rx) = mpsc::channel();
        self.jobs.send(Box::new(move || done_tx.send(job()).unwrap())).unwrap();
        done_rx.recv().unwrap()
    }

    /// Creates a namespace that is linked to the process's: the interface `near` here has 10.9.0.1/24, `far` there has
    /// 10.9.0.11 to 10.9.0.20. Neighbours are static and IPv6 is off, so the link has no traffic but the test's.
    pub fn linked() -> Self {
        let other = Self::new();
        let disable_ipv6 = || sysctl("net.ipv6.conf.all.disable_ipv6", "1");
        disable_ipv6();
        other.run(disable_ipv6);
        ip("link add near address 02:00:00:00:00:01 type veth peer name far address 02:00:00:00:00:02");
        ip(&format!("link set far netns {}", other.thread));
        other.run(|| {
            for last in 11..=20 {
                ip(&format!("address add 10.9.0.{last}/24 dev far"));
            }
            ip("link set far up");
            ip("neigh add 10.9.0.1 lladdr 02:00:00:00:00:01 dev far");
        });
        ip("address add 10.9.0.1/24 dev near");
        ip("link set near up");
        for last in 11..=20 {
            ip(&format!("neigh add 10.9.0.{last} lladdr 02:00:00:00:00:02 dev near"));
        }
        other
    }

    /// Number of packets received on `far`.
    pub fn received_packets(&self) -> u64 {
        let table = self.run(|| std::fs::read_to_string("/proc/thread-self/net/dev").unwrap());
        let line = table.lines().find_map(|line| line.trim().strip_prefix("far:")).expect("the interface far exists");
        // The first column holds bytes, the second packets.
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Starts a server on all addresses of the namespace that accepts and counts connections and sends nothing.
    pub fn server(&self) -> (u16, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        let listener = self.run(|| TcpListener::bind("0.0.0.0:0").unwrap());
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for _connection in listener.incoming() {
                counter.fetch_add(1, Relaxed);
            }
        });
        (port, count)
    }
}
