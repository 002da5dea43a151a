//! The state of all nodes. Written by the links, read through the handle.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{broadcast, watch};

use super::{mirror::Mirror, probe_subscriptions::ProbeSubscriptions, target::AgentTarget, update::FleetUpdate};
use maglev_model::{actual::LbDump, counters::StatsSnapshot, view::View};
use maglev_rpc::client::AgentVersion;
use maglev_telemetry::AsOf;

/// Capacity of the update queue: a consumer further behind loses updates.
const UPDATES: usize = 4096;

/// State of the connection to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Before the first complete state or the first failure.
    Connecting,
    /// The mirror is in sync and followed.
    Connected,
    /// The connection failed; the mirror keeps its last state.
    Unreachable {
        error: Arc<str>,
        /// A fixed PascalCase word for the error.
        reason: &'static str,
        /// Time of the first of several failures.
        since: Timestamp,
    },
}

impl LinkState {
    /// Lower-case name, also used in metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Unreachable { .. } => "unreachable",
        }
    }
}

/// One reading of an agent's counters of VPP.
#[derive(Clone, Debug, PartialEq)]
pub struct CountersRead {
    /// Time of the answer.
    pub at: Timestamp,
    pub stats: Arc<StatsSnapshot>,
}

/// The connection to one node's agent, and its latest reports.
#[derive(Clone, Debug)]
pub struct NodeState<M = View> {
    /// Name of the node, or the agent's address until the name is known.
    pub node: Arc<str>,
    pub target: AgentTarget,
    pub link: LinkState,
    /// `None` until the agent has answered.
    pub version: Option<Arc<AgentVersion>>,
    /// The mirror of the agent's state.
    pub view: M,
    /// Position of the mirror; `None` before the first complete state.
    pub as_of: Option<AsOf>,
    /// VPP's state at the last reading; `None` if unknown.
    pub dump: Option<Arc<LbDump>>,
    /// VPP's counters; `None` if unknown.
    pub counters: Option<Arc<CountersRead>>,
    /// Time of the agent's last answer, to a few seconds.
    pub last_seen: Option<Timestamp>,
}

impl<M: Mirror> NodeState<M> {
    pub(crate) fn new(node: Arc<str>, target: AgentTarget) -> Self {
        Self {
            node,
            target,
            link: LinkState::Connecting,
            version: None,
            view: M::default(),
            as_of: None,
            dump: None,
            counters: None,
            last_seen: None,
        }
    }

    /// True if the mirror is in sync with the agent. Other mirrors are stale and excluded from totals.
    pub fn reporting(&self) -> bool {
        self.link == LinkState::Connected && self.as_of.is_some()
    }
}

impl NodeState {
    /// True if weights and states are those of a working node, so that other nodes should have the same.
    pub fn comparable(&self) -> bool {
        self.reporting() && self.view.vpp.is_some()
    }
}

/// State, counters and probe subscriptions of one node.
pub(crate) struct NodeCell<M> {
    pub state: Mutex<NodeState<M>>,
    pub link_counters: LinkCounters,
    pub subscriptions: Arc<ProbeSubscriptions>,
}

/// Counters of a link.
#[derive(Debug, Default)]
pub(crate) struct LinkCounters {
    pub connects: AtomicU64,
    pub failures: AtomicU64,
    pub lines: AtomicU64,
    pub resyncs: AtomicU64,
    pub differences: AtomicU64,
}

impl LinkCounters {
    pub(crate) fn count(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

impl<M: Mirror> NodeCell<M> {
    pub(crate) fn state(&self) -> MutexGuard<'_, NodeState<M>> {
        self.state.lock()
    }
}

pub(crate) struct Store<M> {
    cells: Mutex<BTreeMap<Arc<str>, Arc<NodeCell<M>>>>,
    /// `None` once the fleet has ended.
    updates: Mutex<Option<broadcast::Sender<FleetUpdate>>>,
    /// True once all nodes are known.
    pub discovered: watch::Sender<bool>,
}

impl<M: Mirror> Store<M> {
    pub(crate) fn new() -> Self {
        Self {
            cells: Mutex::default(),
            updates: Mutex::new(Some(broadcast::channel(UPDATES).0)),
            discovered: watch::Sender::new(false),
        }
    }

    pub(crate) fn cells(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<NodeCell<M>>>> {
        self.cells.lock()
    }

    pub(crate) fn cell(&self, node: &str) -> Option<Arc<NodeCell<M>>> {
        self.cells().get(node).cloned()
    }

    /// The mirror of a node other than `node` whose state is known.
    pub(crate) fn mirror_of_other(&self, node: &str) -> Option<M> {
        let others: Vec<_> =
            self.cells().iter().filter(|(name, _)| ***name != *node).map(|(_, cell)| Arc::clone(cell)).collect();
        others.iter().find_map(|cell| {
            let state = cell.state();
            state.as_of.map(|_| state.view.clone())
        })
    }

    /// Adds `node`, or changes its target. The state of an existing node stays.
    pub(crate) fn add(&self, node: &Arc<str>, target: AgentTarget) -> Arc<NodeCell<M>> {
        let cell = {
            let mut cells = self.cells();
            let cell = cells.entry(Arc::clone(node)).or_insert_with(|| {
                let state = Mutex::new(NodeState::new(Arc::clone(node), target.clone()));
                Arc::new(NodeCell { state, link_counters: LinkCounters::default(), subscriptions: Arc::default() })
            });
            Arc::clone(cell)
        };
        cell.state().target = target;
        self.publish(FleetUpdate::Node(Arc::clone(node)));
        cell
    }

    pub(crate) fn remove(&self, node: &Arc<str>) {
        if self.cells().remove(node).is_some() {
            self.publish(FleetUpdate::Removed(Arc::clone(node)));
        }
    }

    /// Renames a node known only by its address; `false` if another node has that name.
    pub(crate) fn rename(&self, from: &Arc<str>, to: &Arc<str>) -> bool {
        {
            let mut cells = self.cells();
            if cells.contains_key(to) {
                return false;
            }
            let Some(cell) = cells.remove(from) else { return false };
            cell.state().node = Arc::clone(to);
            cells.insert(Arc::clone(to), cell);
        }
        self.publish(FleetUpdate::Removed(Arc::clone(from)));
        self.publish(FleetUpdate::Node(Arc::clone(to)));
        true
    }

    pub(crate) fn publish(&self, update: FleetUpdate) {
        if let Some(updates) = &*self.updates.lock() {
            // An error means that there are no receivers.
            let _ = updates.send(update);
        }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<FleetUpdate> {
        match &*self.updates.lock() {
            Some(updates) => updates.subscribe(),
            // The sender is dropped at once, so the receiver ends.
            None => broadcast::channel(1).1,
        }
    }

    /// Ends all update receivers.
    pub(crate) fn close(&self) {
        *self.updates.lock() = None;
    }
}

impl<M> fmt::Debug for Store<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}
