//! Network namespaces for tests that need links, routes or capabilities of their own.

use std::{
    env,
    io::{Write, stderr},
    process::{Command, Stdio},
    sync::mpsc,
};

/// Set in a test process that was started in a namespace.
const INSIDE: &str = "MAGLEV_TEST_NETNS";

/// Starts the test `name` once more in a network namespace of its own, where it is root, and waits for it. True
/// where that is done: the caller is the one inside and goes on. `through` is what the test is started with, such
/// as a command that drops a capability.
///
/// Where this machine gives nobody namespaces, the test says so and is not run.
pub(crate) fn inside(name: &str, through: &[&str]) -> bool {
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
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
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
pub(crate) fn ip(args: &str) {
    let output = Command::new("ip").args(args.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Sets a sysctl of this namespace.
pub(crate) fn sysctl(name: &str, value: &str) {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// Another network namespace, kept by a thread that lives in it.
pub(crate) struct Other {
    /// What stands for it among the files.
    pub(crate) path: String,
    _stay: mpsc::Sender<()>,
}

impl Other {
    /// Makes one whose loopback is up, and what `set_up` makes there.
    pub(crate) fn new<T: Send + 'static>(set_up: impl FnOnce() -> T + Send + 'static) -> (Self, T) {
        let (stay, leave_rx) = mpsc::channel();
        let (made_tx, made_rx) = mpsc::channel();
        std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            ip("link set lo up");
            let path = format!("/proc/{}/task/{}/ns/net", std::process::id(), nix::unistd::gettid());
            made_tx.send((path, set_up())).unwrap();
            let _ = leave_rx.recv();
        });
        let (path, made) = made_rx.recv().unwrap();
        (Self { path, _stay: stay }, made)
    }
}
