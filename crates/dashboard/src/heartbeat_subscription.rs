//! The heartbeats that one page shows: those of some Frontends' Backends on one node, requested from the fleet while the
//! page is connected.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;

use super::{Shared, heartbeats::Heartbeats, inputs::Inputs};
use maglev_fleet::{MAX_PROBED_BACKENDS, ProbeSubscription};
use maglev_model::Name;

/// Ends when dropped.
pub struct HeartbeatSubscription {
    shared: Arc<Shared>,
    beats: Arc<Heartbeats>,
    frontends: Vec<Name>,
    names: BTreeSet<Name>,
    guard: Option<ProbeSubscription>,
}

/// Numbers of Backends.
#[derive(Clone, Copy, Debug)]
pub struct WatchedCount {
    pub requested: usize,
    /// At most [`MAX_PROBED_BACKENDS`].
    pub watched: usize,
}

impl HeartbeatSubscription {
    /// Starts without Backends; see [`Self::resolve`].
    pub fn new(shared: Arc<Shared>, beats: Arc<Heartbeats>, frontends: Vec<Name>) -> Self {
        Self { shared, beats, frontends, names: BTreeSet::new(), guard: None }
    }

    /// Follows the present Backends of the Frontends.
    pub fn resolve(&mut self) -> WatchedCount {
        let snapshot = self.shared.snapshot();
        let view = snapshot.nodes.get(self.beats.node()).map(Inputs::view);
        let frontends = self.frontends.iter().filter_map(|name| view?.frontends.get(name));
        let members = frontends.flat_map(|frontend| frontend.pools.iter().flat_map(|pool| &pool.members));
        let all: BTreeSet<_> = members.map(|member| member.backend.clone()).collect();
        let requested = all.len();
        let names: BTreeSet<_> = all.into_iter().take(MAX_PROBED_BACKENDS).collect();
        if names != self.names || self.guard.is_none() {
            self.beats.set_backends(names.clone());
            let list = names.iter().cloned().collect();
            // Subscribes before the old guard is dropped, so that Backends of both are followed without a gap.
            self.guard = self.shared.fleet.watch_probes(self.beats.node(), list);
            self.names = names;
        }
        WatchedCount { requested, watched: self.names.len() }
    }

    /// Removes and returns the names and data of pending messages.
    pub fn take_messages(&self) -> Vec<(&'static str, Bytes)> {
        self.beats.take_messages()
    }
}
