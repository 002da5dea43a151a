//! A maglevd that does not get to run marks nothing down: signals stop it and let it go on, while its backends answer.

use std::time::Duration;

use maglev_sandbox::demo_backend::Mode;
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use crate::agent::node::Node;

const BOTH: [(&str, u8); 2] = [("127.0.3.1", 10), ("127.0.3.2", 10)];
/// Of each slice of time, maglevd runs for the second part.
const SLICE: [Duration; 2] = [Duration::from_millis(90), Duration::from_millis(10)];

/// Waits until each backend has been probed so often.
async fn until_probed(node: &Node, times: u64) {
    let before = node.answered();
    node.until("it probes", |node| node.answered().iter().zip(&before).all(|(now, before)| *now >= before + times))
        .await;
}

/// maglevd stands still for a while, and then gets a tenth of the time for another.
async fn starved(test: &str, number: u8, times: &str, [still, slow]: [Duration; 2]) {
    let mut node = Node::start(test, number, times).await;
    node.start_maglevd().await;
    node.until_weights(&BOTH).await;
    node.until_ready().await;
    let mark = node.simulator.mark();

    node.signal(Signal::SIGSTOP);
    sleep(still).await;
    node.signal(Signal::SIGCONT);
    until_probed(&node, 5).await;

    let (before, until) = (node.answered(), Instant::now() + slow);
    while Instant::now() < until {
        node.signal(Signal::SIGSTOP);
        sleep(SLICE[0]).await;
        node.signal(Signal::SIGCONT);
        sleep(SLICE[1]).await;
    }
    let after = node.answered();
    assert!(after.iter().zip(&before).all(|(after, before)| after > before), "it probed: {before:?} {after:?}");
    until_probed(&node, 5).await;
    assert_eq!(node.log_count("to=down"), 0, "{}", node.log());
    assert_eq!(node.simulator.writes_since(mark), []);

    // What is down goes down all the same.
    node.backend("one", Mode::Fail);
    node.until_weights(&[("127.0.3.1", 0), ("127.0.3.2", 10)]).await;
    assert_eq!(node.log_count("to=down"), 1, "{}", node.log());
    node.stop_maglevd().await;
}

#[tokio::test]
async fn a_maglevd_that_stood_still_or_gets_little_time_marks_nothing_down() {
    let [still, slow] = [3, 3].map(Duration::from_secs);
    starved("starved", 7, "interval: 200ms, timeout: 100ms", [still, slow]).await;
}

#[tokio::test]
#[ignore = "it takes two minutes: make soak"]
async fn soak_a_maglevd_that_stood_still_for_20_s_or_gets_a_tenth_of_the_time_for_a_minute() {
    let times = [20, 60].map(Duration::from_secs);
    starved("soak-starved", 8, "interval: 200ms, timeout: 100ms", times).await;
    starved("soak-standard", 10, "interval: 2s, timeout: 1s", times).await;
}
