//! Follows the agents through a fleet whose mirrors are digests instead of whole states.

use std::{collections::BTreeSet, fmt, sync::Arc};

use kube::Client;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    digest::Digest,
    links::{AgentLinks, LinkFailure, LinkUpdate},
};
use maglev_fleet::{
    Fleet, FleetHandle, FleetOptions, FleetUpdate, LinkState, Loops, Mirror, NodeState, Source, Update, Updates,
};
use maglev_kube::Delays;

/// Capacity of the channel to the controller.
const QUEUE: usize = 4096;

impl Mirror for Digest {
    /// No polling: the event stream suffices. Pings keep its connection alive, and a gap makes the fleet fetch the whole
    /// state.
    const LOOPS: Loops = Loops::NONE;
}

/// Connections to the agents of one namespace.
#[derive(Clone)]
pub struct FleetLinks {
    client: Client,
    namespace: String,
    delays: Delays,
    options: FleetOptions,
}

impl fmt::Debug for FleetLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetLinks").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl FleetLinks {
    /// Connects to the agents whose pods `client` finds in `namespace`.
    pub fn new(client: Client, namespace: &str, delays: Delays, options: FleetOptions) -> Self {
        Self { client, namespace: namespace.to_owned(), delays, options }
    }
}

impl AgentLinks for FleetLinks {
    fn follow(&self, shutdown: CancellationToken) -> mpsc::Receiver<LinkUpdate> {
        let namespace = self.namespace.clone();
        let source = Source::Pods { client: self.client.clone(), namespace, delays: self.delays };
        let fleet: Fleet<Digest> = Fleet::new(source, self.options.clone());
        let (handle, (updates, updates_rx)) = (fleet.handle(), mpsc::channel(QUEUE));
        let fleet_updates = handle.subscribe();
        tokio::spawn(fleet.run(shutdown));
        // Ends with the fleet, or when the receiver is dropped.
        tokio::spawn(forward(handle, fleet_updates, updates));
        updates_rx
    }
}

async fn forward(handle: FleetHandle<Digest>, mut fleet_updates: Updates, updates: mpsc::Sender<LinkUpdate>) {
    // Nodes that the receiver knows.
    let mut forwarded: BTreeSet<Arc<str>> = BTreeSet::new();
    while let Some(update) = fleet_updates.next().await {
        let batch: Vec<LinkUpdate> = match update {
            Update::Next(FleetUpdate::Node(node)) => {
                handle.node(&node).and_then(|state| link(&state)).into_iter().collect()
            }
            Update::Next(FleetUpdate::Removed(node)) => vec![LinkUpdate::Removed(node)],
            Update::Next(FleetUpdate::Reset(node)) => handle.node(&node).as_ref().map(whole_state).unwrap_or_default(),
            Update::Next(FleetUpdate::Followed(followed)) => {
                let changes = followed.lines.iter().filter_map(|line| Some((line.change.clone()?, line.time)));
                vec![LinkUpdate::Changes(Arc::clone(&followed.node), changes.collect())]
            }
            Update::Next(FleetUpdate::Probes(_) | FleetUpdate::Dump(_) | FleetUpdate::Counters(_)) => continue,
            Update::Lost(_) => after_loss(&forwarded, &handle.nodes()),
        };
        for update in batch {
            match &update {
                LinkUpdate::Removed(node) => forwarded.remove(node),
                other => forwarded.insert(Arc::clone(other.node())),
            };
            if updates.send(update).await.is_err() {
                return;
            }
        }
    }
}

/// The updates after some were lost: the removal of each forwarded node that has no mirror any more, and the whole states
/// of the mirrors, which contain the effect of the other updates.
fn after_loss(forwarded: &BTreeSet<Arc<str>>, mirrors: &[NodeState<Digest>]) -> Vec<LinkUpdate> {
    let present: BTreeSet<&str> = mirrors.iter().map(|state| &*state.node).collect();
    removals(forwarded, &present).chain(mirrors.iter().flat_map(whole_state)).collect()
}

fn removals(forwarded: &BTreeSet<Arc<str>>, present: &BTreeSet<&str>) -> impl Iterator<Item = LinkUpdate> {
    let gone = forwarded.iter().filter(|node| !present.contains(&***node));
    gone.map(|node| LinkUpdate::Removed(Arc::clone(node)))
}

fn whole_state(state: &NodeState<Digest>) -> Vec<LinkUpdate> {
    let reset = state.as_of.is_some().then(|| LinkUpdate::Reset(Arc::clone(&state.node), state.view.clone()));
    reset.into_iter().chain(link(state)).collect()
}

fn link(state: &NodeState<Digest>) -> Option<LinkUpdate> {
    let result = match &state.link {
        LinkState::Connecting => return None,
        LinkState::Connected => Ok(()),
        LinkState::Unreachable { error, reason, .. } => Err(LinkFailure { reason, error: Arc::clone(error) }),
    };
    Some(LinkUpdate::Link(Arc::clone(&state.node), result))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_whose_removal_was_lost_are_removed() {
        let forwarded = BTreeSet::from(["node-a".into(), "node-b".into()]);
        let updates: Vec<_> = removals(&forwarded, &BTreeSet::from(["node-b", "node-c"])).collect();
        assert!(matches!(&updates[..], [LinkUpdate::Removed(node)] if &**node == "node-a"), "{updates:?}");
    }
}
