//! Bugs planted in the parts between the agent and the simulation, which behave like bugs of the agent. The simulation
//! must find each of them.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use maglev_model::config::Config;
use maglev_vpp::messages::{Message, lb::LbAsSetWeight};

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlantedBug {
    /// The agent does not wait for `startupMinDelay`.
    NoWarmUp,
    /// Weights are lowered without the flush of a fall.
    LostFlush,
    /// The list of owned VIPs does not survive a crash.
    LostOwnership,
}

impl PlantedBug {
    pub const ALL: [Self; 3] = [Self::NoWarmUp, Self::LostFlush, Self::LostOwnership];

    /// The configuration that the agent receives.
    pub fn config(bug: Option<Self>, config: Option<Config>) -> Option<Config> {
        let mut config = config?;
        if bug == Some(Self::NoWarmUp) {
            Arc::make_mut(&mut config.node).sync.startup_min_delay = Duration::from_millis(500);
        }
        Some(config)
    }

    /// The request that VPP receives instead of `body`, whose message is `name`.
    pub fn request(bug: Option<Self>, name: &str, body: Bytes) -> Bytes {
        if bug != Some(Self::LostFlush) || name != LbAsSetWeight::NAME {
            return body;
        }
        let mut changed = body.to_vec();
        // The flag to flush is the last field.
        changed.pop();
        changed.push(0);
        changed.into()
    }

    /// Called after a crash of the agent.
    pub fn crashed(bug: Option<Self>, directory: &Path) {
        if bug == Some(Self::LostOwnership) {
            // Absent before the first VIP was added.
            let _ = std::fs::remove_file(directory.join("maglevd.vips.json"));
        }
    }
}
