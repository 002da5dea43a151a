//! Agents without nodes: the real bus and the real gRPC server, and what is told to them.

use std::{net::SocketAddr, sync::Arc};

use anyhow::anyhow;
use jiff::Timestamp;
use maglev_model::{
    actual::LbDump,
    counters::StatsSnapshot,
    event::{Event, Events, Level},
};
use maglev_rpc::server::Sources;
use maglev_telemetry::{Bus, BusOptions};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use maglev_benches::rpc;

/// An agent, running.
pub struct Agent {
    pub events: Events,
    pub dumps: watch::Sender<Option<Arc<LbDump>>>,
    pub counters: watch::Sender<Option<Arc<StatsSnapshot>>>,
    address: SocketAddr,
    shutdown: CancellationToken,
    tasks: [JoinHandle<()>; 2],
}

impl Agent {
    pub async fn start(node: &str) -> anyhow::Result<Self> {
        let bus = Bus::new(BusOptions { log_level: Level::Info, clock: Timestamp::now, epoch: 1 });
        let (dumps, counters) = (watch::Sender::default(), watch::Sender::default());
        let sources = Sources { dumps: dumps.subscribe(), counters: counters.subscribe(), ..rpc::sources(&bus) };
        let server = rpc::server(node, sources);
        let (mut bound, shutdown, events) = (server.bound(), CancellationToken::new(), bus.events());
        let tasks = [tokio::spawn(bus.run(shutdown.clone())), tokio::spawn(server.run(shutdown.clone()))];
        let address = bound.wait_for(|bound| !bound.is_empty()).await.map_err(|_| anyhow!("no server"))?[0];
        Ok(Self { events, dumps, counters, address, shutdown, tasks })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells of an event with this text, which changes nothing.
    pub fn emit(&self, reason: String) {
        self.events.emit(Event::VppDisconnect { reason });
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        for task in self.tasks {
            task.await?;
        }
        Ok(())
    }
}

/// What maglev-frontend makes of such an event.
pub fn message(reason: &str) -> String {
    let now = Timestamp::now();
    let attributes = format!(r#"[["reason","{reason}"]]"#);
    let line = format!(
        r#"{{"seq":100000,"time":"{now:.3}","level":"warn","name":"vpp-disconnect","attributes":{attributes}}}"#
    );
    format!(r#"{{"epoch":"1","lines":[{line}],"node":"bench"}}"#)
}
