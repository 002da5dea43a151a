//! Flows through one and several VPPs.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::lab::{GRE4, LIMIT, Lab, TCP, UDP, all_servers, counts, datagram, first_word, on_each_vpp, server, until};
use crate::vpp::Vpp;

const VIP: &str = "203.0.113.10:80";

fn vip() -> SocketAddr {
    VIP.parse().unwrap()
}

async fn curl_through_a_vip_is_answered_by_a_backend(lab: Lab) {
    lab.add_vip(vip(), TCP, GRE4, &all_servers()).await;
    let output = lab.output("curl", &["-sS", "--max-time", "10", "-i", "http://203.0.113.10/"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for part in ["200 OK", "x-backend: web-", "client=198.51.100.1:", "vip=203.0.113.10:80"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // SYN, ACK, request and FIN at least. The answers do not pass VPP.
    let counts = || lab.packets.counts();
    until("all packets are delivered", async || counts().to_vpp >= 4 && counts().delivered == counts().to_vpp).await;
    assert_eq!((counts().overflow, counts().undeliverable), (0, 0));
}

/// The backend of the flow from each of 60 ports.
async fn backends_by_port(lab: &Lab) -> std::io::Result<Vec<String>> {
    let vip = vip();
    lab.in_client(move || (20_000..20_060).map(|port| datagram(vip, port)).collect()).await
}

async fn flow_has_the_same_backend_on_every_node(lab: Lab) {
    lab.add_vip(vip(), UDP, GRE4, &all_servers()).await;
    let before = backends_by_port(&lab).await.unwrap();
    assert_eq!(counts(before.clone()).len(), 4, "{before:?}");
    assert_eq!(backends_by_port(&lab).await.unwrap(), before);
    let add = async |vpp: &Vpp| vpp.add_vip(vip(), UDP, GRE4, &all_servers()).await;
    lab.on_each_node(vip(), add, async || assert_eq!(backends_by_port(&lab).await.unwrap(), before)).await;
}

async fn packets_are_divided_among_the_nodes_and_move_from_a_stopped_vpp(lab: Lab) {
    // A different backend on each node shows the node of a connection.
    lab.vpps[0].add_vip(vip(), TCP, GRE4, &[(server(1), 10)]).await;
    lab.vpps[1].add_vip(vip(), TCP, GRE4, &[(server(2), 10)]).await;
    lab.until_served(vip(), TCP).await;
    let found = counts(lab.names(vip(), 400).await);
    assert!(found.len() == 2 && found.values().all(|count| *count > 120), "{found:?}");
    lab.vpps[0].stop().await;
    lab.until_routed(vip(), [1]).await;
    assert_eq!(counts(lab.names(vip(), 100).await), BTreeMap::from([("web-2".to_owned(), 100)]));
}

/// An open `/stream`.
struct Stream {
    _curl: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Stream {
    fn open(lab: &Lab) -> Self {
        let mut command = lab.command("curl", &["-sN", "http://203.0.113.10/stream"]);
        let mut curl = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(curl.stdout.take().unwrap()).lines();
        Self { _curl: curl, lines }
    }

    /// The next line, without its number; `None` after the end of the connection.
    async fn next(&mut self) -> Option<String> {
        let line = tokio::time::timeout(LIMIT, self.lines.next_line()).await.expect("a line or an end").unwrap()?;
        Some(line.split_once(' ').unwrap().1.to_owned())
    }
}

async fn drained_backend_keeps_its_stream_and_flushed_backend_loses_it(lab: Lab) {
    lab.add_vip(vip(), TCP, GRE4, &all_servers()).await;
    let mut stream = Stream::open(&lab);
    let first = stream.next().await.unwrap();
    let name = first_word(&first);
    let number = name.strip_prefix("web-").unwrap().parse().unwrap();

    lab.set_weight(vip(), TCP, server(number), 0, false).await;
    assert!(!lab.names(vip(), 100).await.contains(&name), "a drained backend gets no new connections");
    for _ in 0..3 {
        assert_eq!(stream.next().await.as_ref(), Some(&first));
    }

    lab.set_weight(vip(), TCP, server(number), 0, true).await;
    // The next acknowledgment goes to another backend, which resets the connection.
    until("the stream ends", async || stream.next().await.is_none()).await;
}

on_each_vpp! {
    2 => curl_through_a_vip_is_answered_by_a_backend,
    2 => flow_has_the_same_backend_on_every_node,
    2 => packets_are_divided_among_the_nodes_and_move_from_a_stopped_vpp,
    2 => drained_backend_keeps_its_stream_and_flushed_backend_loses_it,
}
