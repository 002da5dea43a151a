//! A gRPC client that mirrors an agent: it receives every state event in order, and its mirror equals VPP's state.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::FutureExt as _;
use jiff::Timestamp;
use maglev_model::{
    ServerMap,
    actual::VppVip,
    event::Level,
    view::Fold as _,
    view::{View, VppView},
};
use maglev_rpc::{
    Server, ServerOptions,
    client::{AgentClient, WatchRequest},
    server::{GrpcMetrics, Identity, Sources},
};
use maglev_telemetry::{AsOf, Bus, BusOptions, ViewSnapshot};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::fixture::Node;

const LIMIT: Duration = Duration::from_secs(30);
const EPOCH: u64 = 1;

/// The properties of a VIP that the simulator and the mirror share: encap, port of the backends, affinity, table
/// length, weights.
type VipProperties = (u32, u16, bool, u32, ServerMap<u8>);

/// The bus, the server, and the client's mirror.
pub struct Follower {
    snapshots: watch::Receiver<ViewSnapshot>,
    mirror: watch::Receiver<(View, AsOf)>,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Follower {
    /// Follows the agent that will be started on `node`.
    pub async fn new(node: &Node) -> Self {
        let bus = Bus::new(BusOptions { log_level: Level::Info, clock: Timestamp::now, epoch: EPOCH });
        node.forward_events_to(bus.events());
        let snapshots = bus.snapshots();
        let sources = Sources {
            events: bus.subscriber(),
            snapshots: bus.snapshots(),
            dumps: watch::Sender::default().subscribe(),
            counters: watch::Sender::default().subscribe(),
            ready: watch::Sender::new(Ok(())).subscribe(),
            probing: Arc::new(|_| None),
            probe_paths: Arc::new(|_| async { Vec::new() }.boxed()),
            sync: Arc::new(|| async { Ok(()) }.boxed()),
        };
        let empty = String::new;
        let identity = Identity {
            node: empty(),
            version: empty(),
            commit: empty(),
            build_date: empty(),
            started: Timestamp::UNIX_EPOCH,
        };
        let options = ServerOptions::new(vec![([127, 0, 0, 1], 0).into()], identity);
        let server = Server::new(options, sources, GrpcMetrics::default());
        let (mut bound, shutdown) = (server.bound(), CancellationToken::new());
        let mut tasks = vec![tokio::spawn(bus.run(shutdown.clone())), tokio::spawn(server.run(shutdown.clone()))];
        let bound = tokio::time::timeout(LIMIT, bound.wait_for(|bound| !bound.is_empty())).await;
        let address = bound.expect("no timeout").unwrap()[0];
        let channel = AgentClient::endpoint(format!("http://{address}")).unwrap().connect().await.unwrap();
        let (mirror_tx, mirror) = watch::channel((View::default(), AsOf { epoch: EPOCH, seq: 0 }));
        tasks.push(tokio::spawn(follow(AgentClient::new(channel), mirror_tx)));
        Self { snapshots, mirror, shutdown, tasks }
    }

    /// Waits until the mirror equals VPP's state, and has caught up with the agent.
    pub async fn until_in_sync(&self, node: &Node) {
        let in_vpp: BTreeMap<VppVip, VipProperties> = node
            .simulator
            .snapshot()
            .vips
            .into_iter()
            .map(|(vip, state)| {
                let weights = state.ases.iter().map(|(address, server)| (*address, server.weight)).collect();
                let settings = state.settings;
                let length = settings.table_length;
                (vip, (settings.encap, settings.target_port, settings.src_ip_sticky, length, weights))
            })
            .collect();
        let mut mirror = self.mirror.clone();
        let in_sync = mirror.wait_for(|(view, _)| view.vpp.as_ref().and_then(mirrored_vips) == Some(in_vpp.clone()));
        if tokio::time::timeout(LIMIT, in_sync).await.is_err() {
            panic!("VPP has {in_vpp:#?}, and the mirror has {:#?}", self.mirror.borrow().0.vpp);
        }
        let agent = self.snapshots.borrow().clone();
        let caught_up = mirror.wait_for(|(_, as_of)| as_of.seq >= agent.as_of.seq);
        let (view, as_of) = tokio::time::timeout(LIMIT, caught_up).await.expect("no timeout").unwrap().clone();
        // If an event happened meanwhile, the two are of different moments.
        if as_of == agent.as_of {
            assert_eq!(view, agent.view);
        }
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        for task in self.tasks {
            tokio::time::timeout(LIMIT, task).await.expect("no timeout").unwrap();
        }
    }
}

/// Mirrors the agent until it ends. At level debug all state events are sent, so none may be missing.
async fn follow(client: AgentClient, mirror: watch::Sender<(View, AsOf)>) {
    let since = Some(mirror.borrow().1);
    let request = WatchRequest { level: Level::Debug, since, ..WatchRequest::default() };
    let mut watch = client.watch(request).await.unwrap();
    while let Some(followed) = watch.next().await.unwrap() {
        assert_eq!((followed.dropped, followed.resync), (0, false), "no client was slow");
        mirror.send_modify(|(view, as_of)| {
            for line in followed.lines.iter().filter(|line| line.seq.is_some()) {
                as_of.seq += 1;
                assert_eq!(line.seq, Some(as_of.seq), "a state event is lost: {line:?}");
                line.change.iter().for_each(|change| view.apply(change, line.time));
            }
            assert_eq!(*as_of, followed.as_of);
        });
    }
}

/// VPP's state in the mirror; `None` if a property is unknown.
fn mirrored_vips(vpp: &VppView) -> Option<BTreeMap<VppVip, VipProperties>> {
    vpp.vips
        .iter()
        .map(|(vip, state)| {
            let encap = state.encap?;
            let (sticky, length) = (state.sticky?, u32::from(state.table_length?));
            Some((*vip, (encap.kind, encap.target_port, sticky, length, state.servers.clone())))
        })
        .collect()
}
