//! The paths of Frontends that require them, as the agent receives them.

use tokio::sync::watch;

use maglev_model::{
    health::HealthSnapshot,
    path::{PathHealth, PathKey},
};

/// Publishes required paths in the snapshot of health, beside the health of the backends.
pub struct RequiredPaths {
    snapshot_tx: watch::Sender<HealthSnapshot>,
    changes: Vec<(PathKey, Option<PathHealth>)>,
}

impl RequiredPaths {
    pub fn new(snapshot_tx: watch::Sender<HealthSnapshot>) -> Self {
        Self { snapshot_tx, changes: Vec::new() }
    }

    /// Sets the state of a path; `None` if it is no longer probed or required.
    pub fn set(&mut self, key: &PathKey, health: Option<PathHealth>) {
        self.changes.push((key.clone(), health));
    }

    /// Publishes the changes since the last call.
    pub fn publish(&mut self) {
        if self.changes.is_empty() {
            return;
        }
        self.snapshot_tx.send_modify(|snapshot| {
            for (key, health) in self.changes.drain(..) {
                match health {
                    Some(health) => snapshot.paths.insert(key, health),
                    None => snapshot.paths.remove(&key),
                };
            }
        });
    }
}
