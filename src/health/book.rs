//! How the probing of each backend goes, for who asks about one.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::model::{
    health::{LastProbe, Probing},
    name::Name,
};

/// The last probe of each backend. A clone reads the same book; reading holds up the checker for no longer than a copy
/// of one entry takes.
#[derive(Clone, Default)]
pub struct ProbeBook(Arc<Mutex<HashMap<Name, Probing>>>);

impl ProbeBook {
    /// How the probing of `name` goes; `None` where nothing has been probed.
    #[must_use]
    pub fn get(&self, name: &Name) -> Option<Probing> {
        self.entries().get(name).cloned()
    }

    /// A probe of `name` has ended, and brought its counter there.
    pub(super) fn note(&self, name: &Name, counter: Option<u16>, last: LastProbe) {
        let mut entries = self.entries();
        match entries.get_mut(name) {
            Some(probing) => *probing = Probing { counter, probes: probing.probes + 1, last: Some(last) },
            None => {
                entries.insert(name.clone(), Probing { counter, probes: 1, last: Some(last) });
            }
        }
    }

    /// The backend is gone, or is probed otherwise from now on.
    pub(super) fn forget(&self, name: &Name) {
        self.entries().remove(name);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Name, Probing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ProbeBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProbeBook")
    }
}
