//! The state of all nodes: written by their links, read by everybody through the handle.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use tokio::sync::{broadcast, watch};

use super::{interest::Interest, mirror::Mirror, target::Target, update::FleetUpdate};
use maglev_model::{actual::LbDump, counters::StatsSnapshot, view::View};
use maglev_rpc::client::AgentVersion;
use maglev_telemetry::AsOf;

/// Updates that a consumer may be behind before it loses some.
const UPDATES: usize = 4096;

/// How it stands with the connection to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// It was not tried yet, or the first answers are awaited.
    Connecting,
    /// The agent's state is known and followed.
    Connected,
    /// It failed; what is known is what was last seen.
    Unreachable { error: Arc<str>, since: Timestamp },
}

impl Link {
    /// The word for it, in metrics too.
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
    /// When the answer came.
    pub at: Timestamp,
    /// What it said.
    pub stats: Arc<StatsSnapshot>,
}

/// What is known of one node.
#[derive(Clone, Debug)]
pub struct NodeState<M = View> {
    /// Its name; while only an address is known, that.
    pub node: Arc<str>,
    /// Whom the link talks to.
    pub target: Target,
    /// How it stands with the connection.
    pub link: Link,
    /// What the agent said of itself; `None` until it did.
    pub version: Option<Arc<AgentVersion>>,
    /// The mirror of its state.
    pub view: M,
    /// The last event in it; `None` before the first state came.
    pub as_of: Option<AsOf>,
    /// What VPP had when it was last read; `None` where that is not known.
    pub dump: Option<Arc<LbDump>>,
    /// VPP's counters; `None` where they are not known.
    pub counters: Option<Arc<CountersRead>>,
    /// When we last heard from the agent, to a few seconds.
    pub last_seen: Option<Timestamp>,
}

impl<M: Mirror> NodeState<M> {
    pub(crate) fn new(node: Arc<str>, target: Target) -> Self {
        Self {
            node,
            target,
            link: Link::Connecting,
            version: None,
            view: M::default(),
            as_of: None,
            dump: None,
            counters: None,
            last_seen: None,
        }
    }

    /// Whether what is known of the node is what is: only then it counts.
    pub fn reporting(&self) -> bool {
        self.link == Link::Connected && self.as_of.is_some()
    }
}

/// One node: its state, its numbers, and whose probes are wanted.
pub(crate) struct Cell<M> {
    pub state: Mutex<NodeState<M>>,
    pub tally: Tally,
    pub interest: Arc<Interest>,
}

/// What a link counts.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub connects: AtomicU64,
    pub failures: AtomicU64,
    pub lines: AtomicU64,
    pub resyncs: AtomicU64,
    pub differences: AtomicU64,
}

impl Tally {
    pub(crate) fn count(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

impl<M: Mirror> Cell<M> {
    pub(crate) fn state(&self) -> MutexGuard<'_, NodeState<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Store<M> {
    cells: Mutex<BTreeMap<Arc<str>, Arc<Cell<M>>>>,
    /// `None` once the fleet has ended.
    updates: Mutex<Option<broadcast::Sender<FleetUpdate>>>,
    /// Whether it is known which nodes there are.
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

    pub(crate) fn cells(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<Cell<M>>>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn cell(&self, node: &str) -> Option<Arc<Cell<M>>> {
        self.cells().get(node).cloned()
    }

    /// The cell of `node`, whose agent is now `target`. What was known of the node stays.
    pub(crate) fn add(&self, node: &Arc<str>, target: Target) -> Arc<Cell<M>> {
        let cell = {
            let mut cells = self.cells();
            let cell = cells.entry(Arc::clone(node)).or_insert_with(|| {
                let state = Mutex::new(NodeState::new(Arc::clone(node), target.clone()));
                Arc::new(Cell { state, tally: Tally::default(), interest: Arc::default() })
            });
            Arc::clone(cell)
        };
        cell.state().target = target;
        self.tell(FleetUpdate::Node(Arc::clone(node)));
        cell
    }

    /// The node is gone, and with it all that was known of it.
    pub(crate) fn remove(&self, node: &Arc<str>) {
        if self.cells().remove(node).is_some() {
            self.tell(FleetUpdate::Gone(Arc::clone(node)));
        }
    }

    /// Gives a node that was only an address its name; `false` where another one has that already.
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
        self.tell(FleetUpdate::Gone(Arc::clone(from)));
        self.tell(FleetUpdate::Node(Arc::clone(to)));
        true
    }

    pub(crate) fn tell(&self, update: FleetUpdate) {
        if let Some(updates) = &*self.updates.lock().unwrap_or_else(PoisonError::into_inner) {
            // Nobody need be listening.
            let _ = updates.send(update);
        }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<FleetUpdate> {
        match &*self.updates.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(updates) => updates.subscribe(),
            // The sender is dropped at once: the receiver says that nothing follows.
            None => broadcast::channel(1).1,
        }
    }

    /// Nothing follows any more.
    pub(crate) fn close(&self) {
        *self.updates.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl<M> fmt::Debug for Store<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}
