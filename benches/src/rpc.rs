//! The gRPC server of an agent, without an agent.

use std::sync::Arc;

use futures::FutureExt as _;
use jiff::Timestamp;
use maglev_rpc::{
    Server, ServerOptions,
    server::{GrpcMetrics, Identity, Sources},
};
use maglev_telemetry::Bus;
use tokio::sync::watch;

/// Sources of a server with a bus only: ready, without dumps, counters and probes.
pub fn sources(bus: &Bus) -> Sources {
    Sources {
        events: bus.subscriber(),
        snapshots: bus.snapshots(),
        dumps: watch::Sender::default().subscribe(),
        counters: watch::Sender::default().subscribe(),
        ready: watch::Sender::new(Ok(())).subscribe(),
        probing: Arc::new(|_| None),
        probe_paths: Arc::new(|_| async { Vec::new() }.boxed()),
        sync: Arc::new(|| async { Ok(()) }.boxed()),
    }
}

/// A server for `node` on a free port on loopback.
pub fn server(node: &str, sources: Sources) -> Server {
    let unknown = || "unknown".to_owned();
    let identity = Identity {
        node: node.to_owned(),
        version: unknown(),
        commit: unknown(),
        build_date: unknown(),
        started: Timestamp::now(),
    };
    Server::new(ServerOptions::new(vec![([127, 0, 0, 1], 0).into()], identity), sources, GrpcMetrics::default())
}
