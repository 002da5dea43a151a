//! An agent's server where there is no agent.

use std::sync::Arc;

use futures::FutureExt as _;
use jiff::Timestamp;
use maglev_rpc::{
    Server, ServerOptions,
    server::{Identity, Metrics, Sources},
};
use maglev_telemetry::Bus;
use tokio::sync::watch;

/// What a server answers from that has a bus and no more: it is ready, and nothing was read, counted or probed.
pub fn sources(bus: &Bus) -> Sources {
    Sources {
        events: bus.subscriber(),
        snapshots: bus.snapshots(),
        dumps: watch::Sender::default().subscribe(),
        counters: watch::Sender::default().subscribe(),
        ready: watch::Sender::new(Ok(())).subscribe(),
        probing: Arc::new(|_| None),
        sync: Arc::new(|_| async { Ok(()) }.boxed()),
    }
}

/// A server for this node, on a port of its own on loopback.
pub fn server(node: &str, sources: Sources) -> Server {
    let unknown = || "unknown".to_owned();
    let identity = Identity {
        node: node.to_owned(),
        version: unknown(),
        commit: unknown(),
        build_date: unknown(),
        started: Timestamp::now(),
    };
    Server::new(ServerOptions::new(vec![([127, 0, 0, 1], 0).into()], identity), sources, Metrics::default())
}
