//! A maglevd that gets no CPU time marks no backend down. The tests stop and continue maglevd by signals while its
//! backends answer.

use std::time::Duration;

use maglev_sandbox::demo_backend::Mode;
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use crate::agent::node::Node;

const BOTH_UP: [(&str, u8); 2] = [("127.0.3.1", 10), ("127.0.3.2", 10)];
/// Times for which maglevd is stopped and runs in each cycle.
const STOPPED_AND_RUNNING: [Duration; 2] = [Duration::from_millis(90), Duration::from_millis(10)];

/// Waits until each backend has been probed `count` more times.
async fn until_probed(node: &Node, count: u64) {
    let before = node.answered_requests();
    let is_probed =
        |node: &Node| node.answered_requests().iter().zip(&before).all(|(now, before)| *now >= before + count);
    node.until("both backends are probed", is_probed).await;
}

/// Stops maglevd for the time `stopped`, then lets it run a tenth of the time `throttled`.
async fn starve(test: &str, number: u8, timing: &str, [stopped, throttled]: [Duration; 2]) {
    let mut node = Node::start(test, number, timing).await;
    node.start_maglevd().await;
    node.until_weights(&BOTH_UP).await;
    node.until_ready().await;
    let mark = node.simulator.mark();

    node.signal(Signal::SIGSTOP);
    sleep(stopped).await;
    node.signal(Signal::SIGCONT);
    until_probed(&node, 5).await;

    let (before, end) = (node.answered_requests(), Instant::now() + throttled);
    while Instant::now() < end {
        node.signal(Signal::SIGSTOP);
        sleep(STOPPED_AND_RUNNING[0]).await;
        node.signal(Signal::SIGCONT);
        sleep(STOPPED_AND_RUNNING[1]).await;
    }
    let after = node.answered_requests();
    assert!(
        after.iter().zip(&before).all(|(after, before)| after > before),
        "maglevd probes while it is throttled: {before:?} {after:?}"
    );
    until_probed(&node, 5).await;
    assert_eq!(node.log_count("to=down"), 0, "{}", node.log());
    assert_eq!(node.simulator.writes_since(mark), []);

    // A backend that fails is still marked down.
    node.set_backend("one", Mode::Fail);
    node.until_weights(&[("127.0.3.1", 0), ("127.0.3.2", 10)]).await;
    assert_eq!(node.log_count("to=down"), 1, "{}", node.log());
    node.stop_maglevd().await;
}

#[tokio::test]
async fn starved_maglevd_marks_no_backend_down() {
    let times = [3, 3].map(Duration::from_secs);
    starve("starved", 7, "interval: 200ms, timeout: 100ms", times).await;
}

#[tokio::test]
#[ignore = "takes two minutes; run by make soak"]
async fn soak_starved_maglevd_marks_no_backend_down() {
    let times = [20, 60].map(Duration::from_secs);
    starve("soak-starved", 8, "interval: 200ms, timeout: 100ms", times).await;
    starve("soak-standard", 10, "interval: 2s, timeout: 1s", times).await;
}
