//! A real agent that follows the objects of a [`World`].

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use maglev_agent::{Agent, AgentOptions, VppConnector};
use maglev_model::ServerMap;
use maglev_model::actual::VppVip;
use maglev_model::change::VipState;
use maglev_model::config::{Config, Frontend};
use maglev_model::event::Level;
use maglev_model::health::HealthSnapshot;
use maglev_model::preview::NodePreview;
use maglev_model::view::View;
use maglev_model::vip::VipKey;
use maglev_telemetry::{Bus, BusOptions, ViewSnapshot};
use maglev_testkit::EventCollector;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::world::{Edit, World};
use crate::lab::until;

pub struct Node {
    config_tx: watch::Sender<Option<Config>>,
    health_tx: watch::Sender<HealthSnapshot>,
    events: Arc<EventCollector>,
    snapshots: watch::Receiver<ViewSnapshot>,
    _shutdown: DropGuard,
}

impl Node {
    /// A node whose VPP, which has this API socket, gets the VIPs of `world`.
    pub async fn start(world: &World, socket: &Path) -> Self {
        let (events, shutdown) = (Arc::new(EventCollector::default()), CancellationToken::new());
        let bus = Bus::new(BusOptions { log_level: Level::Info, clock: Timestamp::now, epoch: 1 });
        events.forward_to(bus.events());
        let snapshots = bus.snapshots();
        tokio::spawn(bus.run(shutdown.clone()));
        let (config_tx, health_tx) = (watch::Sender::new(Some(world.config())), watch::Sender::new(world.health()));
        let agent = Agent::new(
            AgentOptions::new("node-a", socket),
            VppConnector::new(socket, events.handle()),
            config_tx.subscribe(),
            health_tx.subscribe(),
            events.handle(),
        );
        tokio::spawn(agent.run(shutdown.clone()));
        let _shutdown = shutdown.drop_guard();
        let node = Self { config_tx, health_tx, events, snapshots, _shutdown };
        until("the VIPs are programmed", async || node.is_settled(world)).await;
        node
    }

    /// The state that the agent reports. The objects and the health, which other crates report, are those of `world`.
    pub fn view(&self, world: &World) -> View {
        let mut view = self.snapshots.borrow().view.clone();
        let config = world.config();
        view.frontends = config.frontends;
        view.node = Some(config.node);
        view.health = world.health();
        view
    }

    /// Makes the change, and waits until the agent has finished it in VPP.
    pub async fn apply(&self, world: &World, edit: &Edit, preview: &NodePreview) {
        let before = self.events.lines().len();
        self.health_tx.send_replace(world.health());
        if !matches!(edit, Edit::Health { .. }) {
            self.config_tx.send_replace(Some(world.config()));
        }
        let is_done = || self.events.lines()[before..].iter().any(|line| line.starts_with("vpp-lb-sync-done"));
        let is_expected = preview.vips.iter().any(|vip| vip.change.is_some());
        until(&format!("VPP has {edit:?}"), async || (!is_expected || is_done()) && self.is_settled(world)).await;
    }

    /// True if VPP has the VIPs of `world`, as far as the agent reports.
    fn is_settled(&self, world: &World) -> bool {
        let view = self.view(world);
        let Some(vpp) = &view.vpp else { return false };
        let in_sync = |frontend: &Arc<Frontend>| {
            let vip = VppVip::from(frontend.vip);
            let Some(VipState { sticky, table_length, servers, .. }) = vpp.vips.get(&vip) else { return false };
            let effective = view.effective_weights(frontend);
            let desired = effective
                .ases
                .iter()
                .map(|(address, server)| (*address, server.weight.effective(servers.get(address).copied())));
            (*sticky, *table_length) == (Some(frontend.sticky), Some(frontend.table_length.get()))
                && desired.eq(servers.iter().map(|(address, weight)| (*address, *weight)))
        };
        view.frontends.values().all(in_sync)
    }

    /// The weights that VPP has.
    pub fn weights(&self, vip: VipKey) -> ServerMap<u8> {
        let snapshot = self.snapshots.borrow();
        let vpp = snapshot.view.vpp.as_ref().expect("the agent is connected");
        vpp.vips[&VppVip::from(vip)].servers.clone()
    }
}
