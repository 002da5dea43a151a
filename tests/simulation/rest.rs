//! The node at rest: without faults and changes, VPP reaches the wanted state, and the agent's events tell the truth.

use std::{collections::BTreeMap, time::Duration};

use maglev_model::{
    ServerMap,
    actual::VppVip,
    config::{Config, Standing},
    health::HealthSnapshot,
    vip::VipKey,
    weights::{DesiredWeight, effective_weights},
};
use maglev_vpp_simulator::Snapshot;
use tokio::time::Instant;

use crate::{
    monitor::settings_match,
    objects::{self, REMOVAL_HOLD, SYNC_INTERVAL},
    oracle,
    world::World,
};

/// Limit of the time to the wanted state: the longest backoff of the connection, the warm-up, a held removal, and two
/// passes.
const LIMIT: Duration = Duration::from_secs(180);

impl World {
    /// Ends all faults, waits for the wanted state, and checks that it is stable.
    pub async fn rest(&mut self) {
        self.log(|| "rest".to_owned());
        self.calm();
        self.network.simulator.heal();
        if let Some(process) = &self.process {
            process.crash_after(0);
        }
        if !self.network.simulator.is_running().await {
            self.start_vpp().await;
        }
        self.vpp_start_at = None;
        let begin = Instant::now();
        while let Err(reason) = self.is_settled() {
            if begin.elapsed() > LIMIT {
                return self.violate(&format!("not settled after {LIMIT:?}: {reason}"));
            }
            self.advance(Duration::from_secs(1)).await;
            if self.has_failed() {
                return;
            }
        }
        // Further passes, and the end of a hold, find nothing to do.
        self.advance(REMOVAL_HOLD + 2 * SYNC_INTERVAL).await;
        if let Err(reason) = self.is_settled() {
            return self.violate(&format!("settled, but not for long: {reason}"));
        }
        let quiet = self.network.monitor.lock().last_write.elapsed();
        if quiet < SYNC_INTERVAL {
            self.violate(&format!("written {quiet:?} ago although the state was as wanted"));
        }
        let due = self.network.monitor.lock().flushes_due();
        if !due.is_empty() {
            self.violate(&format!("never flushed after a fall: {due:?}"));
        }
    }

    /// `Ok` if VPP has the wanted state and the agent's mirror has VPP's.
    fn is_settled(&self) -> Result<(), String> {
        let Some(process) = self.process.as_ref().filter(|process| process.is_listed()) else {
            return Err("the process has not listed its objects".to_owned());
        };
        process.status.borrow().ready()?;
        let snapshot = self.network.simulator.snapshot();
        let (config, health) = {
            let monitor = self.network.monitor.lock();
            let version = monitor.version().ok_or("the agent has no inputs")?;
            (version.config.clone().ok_or("the agent has no configuration")?, version.health.clone())
        };
        check_vips(&snapshot, &config, &health)?;
        if let Some(vip) = self.network.monitor.lock().missing_foreign_vip(&snapshot) {
            return Err(format!("VPP lacks the foreign {vip}"));
        }
        let view = process.recorder.view().vpp.ok_or("the mirror has no VPP")?;
        let mirrored: BTreeMap<VppVip, ServerMap<u8>> =
            view.vips.iter().map(|(vip, state)| (*vip, state.servers.clone())).collect();
        let actual = snapshot.vips.keys().map(|vip| (*vip, snapshot.weights(*vip).into_iter().collect())).collect();
        if mirrored == actual { Ok(()) } else { Err(format!("the mirror has {mirrored:?}, VPP has {actual:?}")) }
    }
}

fn check_vips(snapshot: &Snapshot, config: &Config, health: &HealthSnapshot) -> Result<(), String> {
    let served = config.frontends.values().filter(|frontend| !matches!(frontend.standing, Standing::Withdrawn(_)));
    let mut wanted: BTreeMap<VppVip, VipKey> = BTreeMap::new();
    for frontend in served {
        let vip = VppVip::from(frontend.vip);
        wanted.insert(vip, frontend.vip);
        // VPP refuses the VIP; an earlier one keeps serving.
        let is_excluded = oracle::excluded_by(snapshot, frontend, |_| true).is_some();
        if frontend.standing != Standing::Serving || is_excluded && !snapshot.vips.contains_key(&vip) {
            continue;
        }
        let in_vpp = snapshot.vips.get(&vip).ok_or_else(|| format!("VPP lacks {vip}"))?;
        if !settings_match(&in_vpp.settings, frontend) && !is_excluded {
            return Err(format!("{vip} has {:?}", in_vpp.settings));
        }
        let weights = snapshot.weights(vip);
        let effective = effective_weights(frontend, health, |address| weights.get(&address).copied());
        if !weights.keys().eq(effective.ases.keys()) && !is_excluded {
            return Err(format!("{vip} has servers {:?}, not {:?}", weights.keys(), effective.ases.keys()));
        }
        for (address, server) in &effective.ases {
            if let DesiredWeight::Set(weight) = server.weight
                && weights.get(address).is_some_and(|current| *current != weight.get())
            {
                return Err(format!("{vip} {address} has weight {}, not {}", weights[address], weight.get()));
            }
        }
    }
    match snapshot.vips.keys().find(|vip| !wanted.contains_key(vip) && objects::is_own(**vip)) {
        Some(vip) => Err(format!("VPP has {vip}, which no Frontend claims")),
        None => Ok(()),
    }
}
