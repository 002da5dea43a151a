//! The statuses that an agent's change may affect.

use std::collections::HashSet;

use maglev_model::{Name, change::Change, config::Kind};

/// A status that has to be computed again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DirtyKey {
    Backend(Name),
    HealthCheck(Name),
    Frontend(Name),
    /// The MaglevNode of the agent's node.
    Node,
    /// Every status.
    All,
}

impl DirtyKey {
    /// Adds the statuses that `change` may affect. The time of a pass adds nothing; the engine reads it periodically.
    pub(crate) fn extend(dirty: &mut HashSet<Self>, change: &Change) {
        let key = match change {
            Change::Health(name, _) | Change::Drain(name, _) => Self::Backend(name.clone()),
            Change::Path(path, _) => Self::Frontend(path.frontend.clone()),
            Change::Frontend(name, ..) | Change::ActivePool(name, _) => Self::Frontend(name.clone()),
            Change::Report(name, _) | Change::Forget(name) => {
                dirty.insert(Self::Node);
                Self::Frontend(name.clone())
            }
            Change::Suspect(..) | Change::VppConnected(_) | Change::VppDisconnected | Change::VppState(..) => Self::All,
            Change::Held(_) | Change::Released(_) | Change::Vip(..) | Change::Server(..) => Self::Node,
            Change::Config(delta) => {
                dirty.extend(delta.problems.iter().filter_map(|((kind, name), _)| match kind {
                    Kind::Backend => Some(Self::Backend(name.clone())),
                    Kind::HealthCheck => Some(Self::HealthCheck(name.clone())),
                    _ => None,
                }));
                return;
            }
            Change::Ramps(..) | Change::Synced(_) | Change::VppConf(_) | Change::Foreign(_) | Change::SyncFailed(_) => {
                return;
            }
        };
        dirty.insert(key);
    }
}
