//! Addresses and logs of the node's pods, for its HTTPS server.

use std::{
    collections::{BTreeMap, HashMap},
    net::Ipv4Addr,
    sync::Arc,
};

use super::log_file::LogFile;
use crate::packets::Namespace;
use parking_lot::{Mutex, MutexGuard};

/// Pods by namespace and name.
#[derive(Debug, Default)]
pub struct Registry {
    pods: Mutex<HashMap<(String, String), Arc<RegisteredPod>>>,
}

#[derive(Debug)]
pub struct RegisteredPod {
    pub uid: String,
    pub ip: Ipv4Addr,
    /// The network namespace with the address; `None` for the host's.
    pub namespace: Option<Namespace>,
    pub logs: BTreeMap<String, Arc<ContainerLogs>>,
}

/// The logs of a container's last two runs.
#[derive(Debug, Default)]
pub struct ContainerLogs {
    runs: Mutex<Runs>,
}

#[derive(Clone, Debug, Default)]
struct Runs {
    current: Option<Arc<LogFile>>,
    previous: Option<Arc<LogFile>>,
}

impl Registry {
    pub fn insert(&self, namespace: &str, name: &str, entry: Arc<RegisteredPod>) {
        self.lock().insert((namespace.to_owned(), name.to_owned()), entry);
    }

    /// Removes the pod, unless the name belongs to another pod now.
    pub fn remove(&self, namespace: &str, name: &str, uid: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        let mut pods = self.lock();
        if pods.get(&key).is_some_and(|entry| entry.uid == uid) {
            pods.remove(&key);
        }
    }

    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<RegisteredPod>> {
        self.lock().get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Arc<RegisteredPod>>> {
        self.pods.lock()
    }
}

impl ContainerLogs {
    /// Sets the log of a new run. Returns the log of the run before the previous one, for deletion.
    pub fn rotate(&self, log: Arc<LogFile>) -> Option<Arc<LogFile>> {
        let mut runs = self.runs.lock();
        let ended = runs.current.replace(log);
        std::mem::replace(&mut runs.previous, ended)
    }

    pub fn current(&self) -> Option<Arc<LogFile>> {
        self.runs.lock().current.clone()
    }

    pub fn previous(&self) -> Option<Arc<LogFile>> {
        self.runs.lock().previous.clone()
    }
}
