//! `/healthz` of a maglevd whose probe loop stands still. A debugger stops the thread, and the others continue.

use std::{fs, sync::mpsc, thread};

use nix::{
    sys::{
        ptrace,
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};

use crate::{agent::node::Node, harness::eventually};

/// The thread of a process with this name.
fn thread_id(process: u32, name: &str) -> Pid {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let is_named = |path: &std::path::PathBuf| fs::read_to_string(path.join("comm")).unwrap().trim() == name;
    let path = threads.map(|thread| thread.unwrap().path()).find(is_named).expect("the process has the thread");
    Pid::from_raw(path.file_name().unwrap().to_str().unwrap().parse().unwrap())
}

#[tokio::test]
async fn healthz_fails_while_the_probe_loop_stands_still() {
    let mut node = Node::start("stalled", 13, "interval: 200ms, timeout: 100ms").await;
    node.start_maglevd().await;
    node.until_weights(&[("127.0.3.1", 10), ("127.0.3.2", 10)]).await;
    assert_eq!(node.http_get("/healthz").await, Ok("ok\n".to_owned()));

    let (id, (continue_tx, continue_rx)) = (thread_id(node.pid(), "health"), mpsc::channel::<()>());
    // Only the thread that has attached may continue the other one.
    let debugger = thread::spawn(move || {
        ptrace::attach(id).unwrap();
        waitpid(id, Some(WaitPidFlag::__WALL)).unwrap();
        let _ = continue_rx.recv();
        ptrace::detach(id, None).unwrap();
    });
    let stalled = eventually("/healthz fails", async || node.http_get("/healthz").await.err()).await;
    assert!(stalled.contains("the probe loop has stalled"), "{stalled}");
    let metrics = node.http_get("/metrics").await.unwrap();
    let lag = metrics.lines().find_map(|line| line.strip_prefix("maglev_probe_loop_lag_seconds ")).unwrap();
    assert!(lag.parse::<f64>().unwrap() > 9.0, "{lag}");

    continue_tx.send(()).unwrap();
    debugger.join().unwrap();
    eventually("/healthz succeeds", async || node.http_get("/healthz").await.ok()).await;
    // The backends did not fail meanwhile.
    assert_eq!(node.log_count("to=down"), 0, "{}", node.log());
    node.stop_maglevd().await;
}
