//! Namespaces for tests that need links, addresses, capabilities or mounts of their own: a test runs again in a new one, and
//! creates others.

use std::{
    env,
    io::{Write as _, stderr},
    net::TcpListener,
    ops::RangeInclusive,
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
        stderr().write_all(message.as_bytes()).expect("standard error can be written");
        return false;
    };
    let (program, flags) = unshare.split_first().expect("a command has a program");
    let status = Command::new(program)
        .args(flags)
        .arg(env::current_exe().expect("the path of the test is known"))
        .args([name, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(INSIDE, name)
        .stdin(Stdio::null())
        .status()
        .expect("the test can be run again");
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
    let output = Command::new("ip").args(args.split(' ')).output().expect("the program ip is installed");
    assert!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Sets a sysctl of this namespace.
pub fn sysctl(name: &str, value: &str) {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    let written = std::fs::write(&path, value);
    assert!(written.is_ok(), "{path}: {written:?}");
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
    pub fn create() -> Self {
        let (jobs, jobs_rx) = mpsc::channel::<Job>();
        let (created_tx, created_rx) = mpsc::channel();
        std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("this process may create namespaces");
            ip("link set lo up");
            created_tx.send(nix::unistd::gettid().to_string()).expect("the creator waits");
            jobs_rx.into_iter().for_each(|job| job());
        });
        let thread = created_rx.recv().expect("the thread runs");
        Self { path: format!("/proc/{}/task/{thread}/ns/net", std::process::id()), thread, jobs }
    }

    /// Runs a job in the namespace.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done_tx, done_rx) = mpsc::channel();
        self.jobs.send(Box::new(move || drop(done_tx.send(job())))).expect("the thread runs");
        done_rx.recv().expect("the job does not panic")
    }

    /// Creates a namespace that is linked to the process's: the interface `near` here has 10.9.0.1/24, `far` there has
    /// 10.9.0.11 to 10.9.0.20. Neighbours are static and IPv6 is off, so the link has no traffic but the test's.
    pub fn linked() -> Self {
        Self::linked_with(11..=20)
    }

    /// Like [`Self::linked`], with the addresses 10.9.0.`hosts` there.
    pub fn linked_with(hosts: RangeInclusive<u8>) -> Self {
        let other = Self::create();
        let disable_ipv6 = || sysctl("net.ipv6.conf.all.disable_ipv6", "1");
        disable_ipv6();
        other.run(disable_ipv6);
        ip("link add near address 02:00:00:00:00:01 type veth peer name far address 02:00:00:00:00:02");
        ip(&format!("link set far netns {}", other.thread));
        let there = hosts.clone();
        other.run(|| {
            for last in there {
                ip(&format!("address add 10.9.0.{last}/24 dev far"));
            }
            ip("link set far up");
            ip("neigh add 10.9.0.1 lladdr 02:00:00:00:00:01 dev far");
        });
        ip("address add 10.9.0.1/24 dev near");
        ip("link set near up");
        for last in hosts {
            ip(&format!("neigh add 10.9.0.{last} lladdr 02:00:00:00:00:02 dev near"));
        }
        other
    }

    /// Number of packets received on `far`.
    pub fn received_packets(&self) -> u64 {
        let table = self.run(|| std::fs::read_to_string("/proc/thread-self/net/dev").expect("procfs is mounted"));
        let line = table.lines().find_map(|line| line.trim().strip_prefix("far:")).expect("the interface far exists");
        // The first column holds bytes, the second packets.
        line.split_whitespace().nth(1).and_then(|count| count.parse().ok()).expect("a line of counters")
    }

    /// Starts a server on all addresses of the namespace that accepts and counts connections and sends nothing.
    pub fn server(&self) -> (u16, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        let listener = self.run(|| TcpListener::bind("0.0.0.0:0").expect("a free port"));
        let port = listener.local_addr().expect("the listener is bound").port();
        std::thread::spawn(move || {
            for _connection in listener.incoming() {
                counter.fetch_add(1, Relaxed);
            }
        });
        (port, count)
    }
}

/// The network namespaces that `ip netns` shows and whose names begin with `prefix`, without it, in order.
pub fn named(prefix: &str) -> Vec<String> {
    let listed = show(&["netns", "list"]);
    let names = listed.lines().filter_map(|line| line.split_whitespace().next()?.strip_prefix(prefix));
    let mut names: Vec<_> = names.map(ToOwned::to_owned).collect();
    names.sort();
    names
}

/// Links, addresses, routes, rules and forwarding of this process's namespace, to compare them.
pub fn state() -> String {
    let links = show(&["-o", "link"]);
    // Without lifetimes, which count down.
    let addresses = show(&["-o", "address"]);
    let addresses: Vec<_> = addresses.lines().filter_map(|line| line.split(" valid_lft").next()).collect();
    let routes = show(&["route", "show", "table", "all"]) + &show(&["-6", "route", "show", "table", "all"]);
    let routes: Vec<_> = routes.lines().filter_map(|line| line.split(" expires").next()).collect();
    let rules = show(&["rule"]) + &show(&["-6", "rule"]);
    let forwarding = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").expect("procfs is mounted");
    format!("{links}\n{}\n{}\n{rules}\n{forwarding}", addresses.join("\n"), routes.join("\n"))
}

/// The output of `ip`. Empty for IPv6 on a machine without it.
fn show(args: &[&str]) -> String {
    let output = Command::new("ip").args(args).output().expect("the program ip is installed");
    String::from_utf8(output.stdout).expect("ip prints UTF-8")
}
