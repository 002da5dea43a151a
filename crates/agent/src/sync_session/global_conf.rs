//! The write of VPP's global settings. Nothing waits for its reply, except VIPs that need a source address from it.

use tokio::time::Instant;

use super::SyncSession;
use crate::{
    dataplane::{DataplaneError, ReplyFuture},
    state::AgentState,
    warmup::Gate,
};
use maglev_model::{actual::ActualConf, conf::desired_conf, event::Event};

/// A write of the settings whose reply is outstanding.
pub struct ConfWrite {
    desired: ActualConf,
    pub reply: ReplyFuture<()>,
}

impl SyncSession {
    /// Writes VPP's global settings, if they differ and writes are allowed. Writing equal settings could drop the
    /// sticky table of every worker.
    pub fn write_conf(&mut self, state: &AgentState, now: Instant) {
        let (Some(cached), Some(node)) = (&self.cached, state.inputs.node()) else { return };
        if state.gate(now) == Gate::Closed || self.conf_write.is_some() {
            return;
        }
        self.conf_settled = true;
        let desired = desired_conf(node, &cached.conf);
        if desired == cached.conf {
            return;
        }
        self.conf_write = Some(ConfWrite { desired, reply: self.dataplane.set_conf(desired) });
        // The reply to a later request shows that VPP dropped this one.
        if self.ping.is_none() {
            self.ping = Some(self.dataplane.ping());
        }
    }

    /// Processes the reply to a write of the settings.
    pub fn conf_written(&mut self, state: &mut AgentState, result: Result<(), DataplaneError>, now: Instant) {
        let Some(ConfWrite { desired, .. }) = self.conf_write.take() else { return };
        match result {
            Ok(()) => {
                if let Some(cached) = &mut self.cached {
                    cached.conf = desired;
                }
                state.events.emit(Event::VppLbConfSet { conf: desired });
                if self.pass.is_some() {
                    // VIPs that waited for a source address.
                    self.claim_missing(state, now);
                }
            }
            // The end of the session is a separate event.
            Err(DataplaneError::Closed(_)) => {}
            Err(error) => state.sync_error(None, "set-conf", &error.to_string()),
        }
    }

    /// True while VIPs wait for a source address that VPP does not have yet.
    pub fn waits_for_source(&self) -> bool {
        self.conf_write.as_ref().zip(self.cached.as_ref()).is_some_and(|(ConfWrite { desired, .. }, cached)| {
            (desired.ipv4().is_some() && cached.conf.ipv4().is_none())
                || (desired.ipv6().is_some() && cached.conf.ipv6().is_none())
        })
    }
}
