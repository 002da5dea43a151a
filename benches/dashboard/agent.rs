//! Agents without nodes: the production bus and gRPC server, with emitted events.

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

/// A running agent.
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

    /// Emits an event with this text, which does not change the state.
    pub fn emit(&self, error: String) {
        self.events.emit(Event::VppConnectFailed { error, warn: true });
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        for task in self.tasks {
            task.await?;
        }
        Ok(())
    }
}

/// The message that maglev-frontend sends for such an event.
pub fn message(error: &str) -> String {
    let now = Timestamp::now();
    let attributes = format!(r#"[["error","{error}"]]"#);
    let line = format!(
        r#"{{"seq":100000,"time":"{now:.3}","level":"warn","name":"vpp-connect-failed","attributes":{attributes}}}"#
    );
    format!(r#"{{"epoch":"1","lines":[{line}],"node":"bench"}}"#)
}
