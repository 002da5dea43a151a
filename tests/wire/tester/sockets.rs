//! Sockets that flows leave behind, counted in a network namespace.

use super::{
    PATIENT, run,
    servers::{VipServer, response},
};
use crate::netns;

/// The number of TCP sockets in TIME_WAIT in this namespace.
fn time_wait_sockets() -> usize {
    let table = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
    // The fourth column is the state; 06 is TCP_TIME_WAIT.
    table.lines().skip(1).filter(|line| line.split_whitespace().nth(3) == Some("06")).count()
}

#[tokio::test]
async fn flows_leave_no_sockets_in_time_wait() {
    if !netns::inside("tester::sockets::flows_leave_no_sockets_in_time_wait", &[]) {
        return;
    }
    let http = VipServer::http(|_| response("web-1\n")).await;
    let close = || Some(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\nweb-1\n".to_vec());
    let closing = VipServer::http(move |_| close()).await;
    let banner = VipServer::banner(|_| Some(b"220 web-1 ready\n".to_vec())).await;
    let pattern = "--backend-pattern=(web-[0-9])";
    for url in [http.url("http"), closing.url("http"), closing.url("http") + "/close", banner.url("tcp")] {
        let finished = run(&["--rate=500", "--count=500", "--output=json", PATIENT, pattern, &url]).await;
        assert_eq!(finished.status, 0, "{}{}", finished.stdout, finished.stderr);
        assert_eq!(time_wait_sockets(), 0, "{url}");
    }
    assert_eq!((http.peers().len(), banner.peers().len()), (500, 500));
}

#[tokio::test]
async fn exhausted_ports_are_no_failure_of_the_vip() {
    if !netns::inside("tester::sockets::exhausted_ports_are_no_failure_of_the_vip", &[]) {
        return;
    }
    netns::sysctl("net.ipv4.ip_local_port_range", "50000 50009");
    // Ten ports for flows that wait for an answer; further flows have none.
    let silent = VipServer::http(|_| None).await;
    let args = ["--rate=200", "--count=100", "--timeout=3s", "--output=json"];
    let finished = run(&[&args[..], &[&silent.url("http")]].concat()).await;
    let result = finished.result();
    let not_sent = result["not_sent"].as_u64().unwrap();
    assert!(finished.status == 1 && not_sent >= 80, "{result}");
    let problem = result["problems"][0].as_str().unwrap();
    assert!(problem.contains("were not sent by this machine"), "{problem}");
}
