//! Whose heartbeats one page shows: frontends' backends on one node, asked for at the fleet while the page is there.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;

use super::{Shared, beats::Beats, inputs::Inputs};
use maglev_fleet::{MAX_WATCHED, ProbeGuard};
use maglev_model::Name;

/// What one page shows.
pub struct Showing {
    shared: Arc<Shared>,
    beats: Arc<Beats>,
    frontends: Vec<Name>,
    names: BTreeSet<Name>,
    guard: Option<ProbeGuard>,
}

impl Showing {
    /// The backends of `frontends`, to be resolved.
    pub fn new(shared: Arc<Shared>, beats: Arc<Beats>, frontends: Vec<Name>) -> Self {
        Self { shared, beats, frontends, names: BTreeSet::new(), guard: None }
    }

    /// Finds out which backends those are now: how many, and how many of them are followed.
    pub fn resolve(&mut self) -> (usize, usize) {
        let glance = self.shared.glance();
        let view = glance.nodes.get(self.beats.node()).map(Inputs::view);
        let frontends = self.frontends.iter().filter_map(|name| view?.frontends.get(name));
        let members = frontends.flat_map(|frontend| frontend.pools.iter().flat_map(|pool| &pool.members));
        let all: BTreeSet<_> = members.map(|member| member.backend.clone()).collect();
        let asked = all.len();
        let names: BTreeSet<_> = all.into_iter().take(MAX_WATCHED).collect();
        if names != self.names || self.guard.is_none() {
            self.beats.show(names.clone());
            let list = names.iter().cloned().collect();
            // The new one first, so that what both want is not given up between them.
            self.guard = self.shared.fleet.watch_probes(self.beats.node(), list);
            self.names = names;
        }
        (asked, self.names.len())
    }

    /// What happened since the last time.
    pub fn news(&self) -> Vec<(&'static str, Bytes)> {
        self.beats.news()
    }
}
