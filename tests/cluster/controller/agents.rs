//! Simulated agents: the test sets their reports, and the controller receives them through [`AgentLinks`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use kube::api::Api;
use maglev_controller::digest::Digest;
use maglev_controller::{AgentLinks, LinkUpdate};
use maglev_crd::{self as crd, FrontendStatus};
use maglev_model::Name;
use maglev_model::change::{Change, Report, VppInfo};
use maglev_model::event::{FrontendState, ProgramResult};
use maglev_model::view::{Fold as _, View};
use maglev_model::weights::ActivePool;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::harness::Cluster;

/// The agents of all nodes.
#[derive(Clone, Default)]
pub struct Agents(Arc<Mutex<AgentStates>>);

#[derive(Default)]
struct AgentStates {
    /// Per node: the agent's state, or the error of the connection.
    links: BTreeMap<String, Result<Digest, String>>,
    subscribers: Vec<mpsc::Sender<LinkUpdate>>,
}

impl AgentLinks for Agents {
    fn follow(&self, _shutdown: CancellationToken) -> mpsc::Receiver<LinkUpdate> {
        let (updates_tx, updates_rx) = mpsc::channel(1024);
        let mut states = self.0.lock().unwrap();
        for (node, link) in &states.links {
            match link {
                Ok(digest) => {
                    updates_tx.try_send(LinkUpdate::Reset(node.as_str().into(), digest.clone())).unwrap();
                    updates_tx.try_send(LinkUpdate::Link(node.as_str().into(), Ok(()))).unwrap();
                }
                Err(error) => {
                    let error = error.as_str().into();
                    updates_tx.try_send(LinkUpdate::Link(node.as_str().into(), Err(error))).unwrap();
                }
            }
        }
        states.subscribers.push(updates_tx);
        updates_rx
    }
}

impl Agents {
    fn publish(&self, node: &str, update: &LinkUpdate) {
        let mut states = self.0.lock().unwrap();
        match (update, states.links.get_mut(node)) {
            (LinkUpdate::Reset(_, digest), _) => drop(states.links.insert(node.to_owned(), Ok(digest.clone()))),
            (LinkUpdate::Link(_, Err(error)), _) => {
                drop(states.links.insert(node.to_owned(), Err(error.error.to_string())));
            }
            (LinkUpdate::Changes(_, changes), Some(Ok(digest))) => {
                changes.iter().for_each(|(change, at)| digest.apply(change, *at));
            }
            _ => {}
        }
        states.subscribers.retain(|subscriber| subscriber.try_send(update.clone()).is_ok());
    }

    fn change(&self, node: &str, change: Change) {
        self.publish(node, &LinkUpdate::Changes(node.into(), vec![(change, Timestamp::now())]));
    }

    /// Connects an agent that is connected to VPP and has no reports yet.
    pub fn connect(&self, node: &str) {
        let mut digest = Digest::default();
        digest.reset(&View::default());
        self.publish(node, &LinkUpdate::Reset(node.into(), digest));
        self.publish(node, &LinkUpdate::Link(node.into(), Ok(())));
        let info = VppInfo { version: "26.10".to_owned(), ..VppInfo::default() };
        self.change(node, Change::VppConnected(Arc::new(info)));
    }

    /// Ends the connection to an agent with an error.
    pub fn disconnect(&self, node: &str, error: &str) {
        self.publish(node, &LinkUpdate::Link(node.into(), Err(error.into())));
    }

    /// Reports that an agent has programmed the Frontend and that the Frontend is up.
    pub fn report(&self, node: &str, (name, report): &(Name, Report)) {
        self.change(node, Change::Report(name.clone(), report.clone()));
        self.change(node, Change::Frontend(name.clone(), FrontendState::Up, None));
        self.change(node, Change::ActivePool(name.clone(), ActivePool::Index(0)));
    }

    /// Reports that an agent failed to program the Frontend.
    pub fn fail(&self, node: &str, (name, report): &(Name, Report), reason: &str) {
        let report = Report { result: ProgramResult::Failed, reason: reason.into(), ..report.clone() };
        self.change(node, Change::Report(name.clone(), report));
    }
}

/// The stored status of a Frontend.
pub async fn status(cluster: &Cluster, namespace: &str, name: &str) -> FrontendStatus {
    let frontends: Api<crd::Frontend> = Api::namespaced(cluster.client().await, namespace);
    frontends.get(name).await.unwrap().status.unwrap_or_default()
}
