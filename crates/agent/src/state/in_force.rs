//! The Frontends that VPP follows: those of the configuration, or those of before while a change is held.

use std::{net::IpAddr, sync::Arc};

use tokio::time::Instant;

use super::AgentState;
use crate::{disruption_guard::Situation, inputs::VipView};
use maglev_model::actual::Actual;

impl AgentState {
    /// The Frontends of `address` that VPP follows, with their weights.
    pub fn views(&self, address: IpAddr, actual: Option<&Actual>) -> Vec<VipView> {
        let views = self.inputs.views(address, actual).into_iter();
        let in_force = |view: VipView| match self.disruption.held(&view.frontend).cloned() {
            Some(in_force) => view.held_at(in_force, self.inputs.health(), actual),
            None => view,
        };
        views.map(in_force).collect()
    }

    /// Decides which changes of the Frontends of `address` take effect, and returns the Frontends that VPP is to follow,
    /// with the weights of their ramps.
    pub fn decide_changes(&mut self, now: Instant, address: IpAddr, actual: &Actual) -> Vec<VipView> {
        let hold_for = self.sync_conf().mass_removal_hold;
        let (config, health) = (self.inputs.config(), self.inputs.health());
        let situation = Situation { now, config, health, actual, hold_for };
        let decide = |view: VipView| {
            let in_force = self.disruption.decide(&view.frontend, situation);
            if Arc::ptr_eq(&in_force, &view.frontend) {
                return view;
            }
            view.held_at(in_force, health, Some(actual))
        };
        let mut views: Vec<VipView> = self.inputs.views(address, Some(actual)).into_iter().map(decide).collect();
        views.iter_mut().for_each(|view| self.ramps.limit(now, view, actual));
        views
    }
}
