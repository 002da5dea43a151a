//! Somebody who follows an agent over gRPC: has every state event, in order, and in the end what VPP has.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use futures::FutureExt as _;
use jiff::Timestamp;
use maglev_model::{
    actual::VppVip,
    change::Fold as _,
    event::Level,
    view::{View, VppView},
};
use maglev_rpc::{
    Server, ServerOptions,
    client::{AgentClient, WatchRequest},
    server::{Identity, Metrics, Sources},
};
use maglev_telemetry::{AsOf, Bus, BusOptions, Snapshot};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::fixture::Node;

const LIMIT: Duration = Duration::from_secs(30);
const EPOCH: u64 = 1;

/// What both sides can say of a VIP: encap, port of the backends, affinity, table length, weights.
type Told = (u32, u16, bool, u32, BTreeMap<IpAddr, u8>);

/// The bus, the server, and the mirror of who follows.
pub struct Follower {
    snapshots: watch::Receiver<Snapshot>,
    mirror: watch::Receiver<(View, AsOf)>,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Follower {
    /// Follows the agent that will start on `node`.
    pub async fn of(node: &Node) -> Self {
        let bus = Bus::new(BusOptions { log_level: Level::Info, clock: Timestamp::now, epoch: EPOCH });
        node.tell(bus.events());
        let snapshots = bus.snapshots();
        let sources = Sources {
            events: bus.subscriber(),
            snapshots: bus.snapshots(),
            dumps: watch::Sender::default().subscribe(),
            counters: watch::Sender::default().subscribe(),
            ready: watch::Sender::new(Ok(())).subscribe(),
            probing: Arc::new(|_| None),
            sync: Arc::new(|_| async { Ok(()) }.boxed()),
        };
        let nothing = String::new;
        let identity = Identity {
            node: nothing(),
            version: nothing(),
            commit: nothing(),
            build_date: nothing(),
            started: Timestamp::UNIX_EPOCH,
        };
        let options = ServerOptions::new(vec![([127, 0, 0, 1], 0).into()], identity);
        let server = Server::new(options, sources, Metrics::default());
        let (mut bound, shutdown) = (server.bound(), CancellationToken::new());
        let mut tasks = vec![tokio::spawn(bus.run(shutdown.clone())), tokio::spawn(server.run(shutdown.clone()))];
        let bound = tokio::time::timeout(LIMIT, bound.wait_for(|bound| !bound.is_empty())).await;
        let address = bound.expect("it listens within the limit").unwrap()[0];
        let channel = AgentClient::endpoint(format!("http://{address}")).unwrap().connect().await.unwrap();
        let (mirror_tx, mirror) = watch::channel((View::default(), AsOf { epoch: EPOCH, seq: 0 }));
        tasks.push(tokio::spawn(follow(AgentClient::new(channel), mirror_tx)));
        Self { snapshots, mirror, shutdown, tasks }
    }

    /// Waits until who follows sees in VPP what VPP has, and is where the agent is.
    pub async fn until_it_shows(&self, node: &Node) {
        let in_vpp: BTreeMap<VppVip, Told> = node
            .simulator
            .snapshot()
            .vips
            .into_iter()
            .map(|(vip, of)| {
                let weights = of.ases.iter().map(|(address, of)| (*address, of.weight)).collect();
                let settings = of.settings;
                let length = settings.table_length;
                (vip, (settings.encap, settings.target_port, settings.src_ip_sticky, length, weights))
            })
            .collect();
        let mut mirror = self.mirror.clone();
        let shown = mirror.wait_for(|(view, _)| view.vpp.as_ref().and_then(shown) == Some(in_vpp.clone()));
        if tokio::time::timeout(LIMIT, shown).await.is_err() {
            panic!("VPP has {in_vpp:#?}, and who follows sees {:#?}", self.mirror.borrow().0.vpp);
        }
        let agents = self.snapshots.borrow().clone();
        let there = mirror.wait_for(|(_, as_of)| as_of.seq >= agents.as_of.seq);
        let (view, as_of) = tokio::time::timeout(LIMIT, there).await.expect("the limit is enough").unwrap().clone();
        // Where something happened meanwhile the two are of different moments.
        if as_of == agents.as_of {
            assert_eq!(view, agents.view);
        }
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        for task in self.tasks {
            tokio::time::timeout(LIMIT, task).await.expect("it ends").unwrap();
        }
    }
}

/// Mirrors the agent until it ends. At debug every state event comes, so none may be missing.
async fn follow(client: AgentClient, mirror: watch::Sender<(View, AsOf)>) {
    let since = Some(mirror.borrow().1);
    let request = WatchRequest { level: Level::Debug, since, ..WatchRequest::default() };
    let mut watch = client.watch(request).await.unwrap();
    while let Some(followed) = watch.next().await.unwrap() {
        assert_eq!((followed.dropped, followed.resync), (0, false), "nobody was slow");
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

/// What the mirror sees in VPP; `None` where something of it is not known.
fn shown(vpp: &VppView) -> Option<BTreeMap<VppVip, Told>> {
    vpp.vips
        .iter()
        .map(|(vip, of)| {
            let encap = of.encap?;
            let (sticky, length) = (of.sticky?, u32::from(of.table_length?));
            Some((*vip, (encap.kind, encap.target_port, sticky, length, (*of.servers).clone())))
        })
        .collect()
}
