//! Network namespaces for tests that need links, routes or capabilities of their own.

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

/// Set in a test process that was started in a namespace.
const INSIDE: &str = "MAGLEV_TEST_NETNS";

/// Starts the test `name` once more in a network namespace of its own, where it is root, and waits for it. True
/// where that is done: the caller is the one inside and goes on. `through` is what the test is started with, such
/// as a command that drops a capability.
///
/// Where this machine gives nobody namespaces, the test says so and is not run.
pub fn inside(name: &str, through: &[&str]) -> bool {
    if env::var(INSIDE).is_ok_and(|inside| inside == name) {
        return true;
    }
    let Some(unshare) = unshare() else {
        // Past the harness, which would keep it to itself.
        let said = format!("{name} is NOT RUN: nobody may make a network namespace here\n");
        stderr().write_all(said.as_bytes()).unwrap();
        return false;
    };
    let (program, flags) = unshare.split_first().unwrap();
    let status = Command::new(program)
        .args(flags)
        .args(through)
        .arg(env::current_exe().unwrap())
        .args([name, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(INSIDE, name)
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{name}, in its namespace: {status}");
    false
}

/// The command that makes a namespace and runs another in it, its loopback up.
fn unshare() -> Option<Vec<&'static str>> {
    const UP: [&str; 4] = ["sh", "-c", "ip link set lo up && exec \"$@\"", "sh"];
    let ways: [&[&str]; 2] = [&["unshare", "--net"], &["unshare", "--user", "--map-root-user", "--net"]];
    let with_loopback = |way: &[&'static str]| [way, &UP].concat();
    ways.into_iter().map(with_loopback).find(|way| {
        let tried = Command::new(way[0]).args(&way[1..]).arg("true").stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
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

/// Another network namespace, kept by a thread that lives in it.
pub struct Other {
    /// What stands for it among the files.
    pub path: String,
    thread: String,
    jobs: mpsc::Sender<Job>,
}

impl Other {
    /// Makes one whose loopback is up.
    pub fn new() -> Self {
        let (jobs, jobs_rx) = mpsc::channel::<Job>();
        let (made_tx, made_rx) = mpsc::channel();
        std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            ip("link set lo up");
            made_tx.send(nix::unistd::gettid().to_string()).unwrap();
            jobs_rx.into_iter().for_each(|job| job());
        });
        let thread = made_rx.recv().unwrap();
        Self { path: format!("/proc/{}/task/{thread}/ns/net", std::process::id()), thread, jobs }
    }

    /// Does something in it.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done_tx, done_rx) = mpsc::channel();
        self.jobs.send(Box::new(move || done_tx.send(job()).unwrap())).unwrap();
        done_rx.recv().unwrap()
    }

    /// Makes one that is linked to this namespace: `near`, which has 10.9.0.1/24, leads to `far` in it, which has the
    /// addresses from 10.9.0.11 to 10.9.0.20. Nothing is sent on the link that nobody asked for.
    pub fn linked() -> Self {
        let other = Self::new();
        let silence = || sysctl("net.ipv6.conf.all.disable_ipv6", "1");
        silence();
        other.run(silence);
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

    /// How many packets have come in through `far`.
    pub fn packets(&self) -> u64 {
        let table = self.run(|| std::fs::read_to_string("/proc/thread-self/net/dev").unwrap());
        let line = table.lines().find_map(|line| line.trim().strip_prefix("far:")).expect("the link is there");
        // Bytes, then packets.
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// A server on all its addresses that takes each connection, counts it, and answers nothing.
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
