//! Agents that say what a test makes them say, heard as the controller hears any.

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
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::harness::Cluster;

/// What they have said so far, and who listens.
#[derive(Clone, Default)]
pub struct Agents(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    links: BTreeMap<String, Result<Digest, String>>,
    listeners: Vec<mpsc::Sender<LinkUpdate>>,
}

impl AgentLinks for Agents {
    fn follow(&self, _shutdown: CancellationToken) -> mpsc::Receiver<LinkUpdate> {
        let (news, news_rx) = mpsc::channel(1024);
        let mut told = self.0.lock().unwrap();
        for (node, link) in &told.links {
            match link {
                Ok(digest) => {
                    news.try_send(LinkUpdate::Reset(node.as_str().into(), digest.clone())).unwrap();
                    news.try_send(LinkUpdate::Link(node.as_str().into(), Ok(()))).unwrap();
                }
                Err(why) => {
                    let why = why.as_str().into();
                    news.try_send(LinkUpdate::Link(node.as_str().into(), Err(why))).unwrap();
                }
            }
        }
        told.listeners.push(news);
        news_rx
    }
}

impl Agents {
    fn tell(&self, node: &str, news: &LinkUpdate) {
        let mut told = self.0.lock().unwrap();
        match (news, told.links.get_mut(node)) {
            (LinkUpdate::Reset(_, digest), _) => drop(told.links.insert(node.to_owned(), Ok(digest.clone()))),
            (LinkUpdate::Link(_, Err(why)), _) => drop(told.links.insert(node.to_owned(), Err(why.to_string()))),
            (LinkUpdate::Changes(_, changes), Some(Ok(digest))) => {
                changes.iter().for_each(|(change, at)| digest.apply(change, *at));
            }
            _ => {}
        }
        told.listeners.retain(|listener| listener.try_send(news.clone()).is_ok());
    }

    fn change(&self, node: &str, change: Change) {
        self.tell(node, &LinkUpdate::Changes(node.into(), vec![(change, Timestamp::now())]));
    }

    /// An agent answers that knows nothing yet but its VPP.
    pub fn answer(&self, node: &str) {
        let mut digest = Digest::default();
        digest.reset(&View::default());
        self.tell(node, &LinkUpdate::Reset(node.into(), digest));
        self.tell(node, &LinkUpdate::Link(node.into(), Ok(())));
        let info = VppInfo { version: "26.10".to_owned(), ..VppInfo::default() };
        self.change(node, Change::VppConnected(Arc::new(info)));
    }

    /// An agent does not answer any more.
    pub fn lose(&self, node: &str, why: &str) {
        self.tell(node, &LinkUpdate::Link(node.into(), Err(why.into())));
    }

    /// An agent has it programmed, and it takes traffic.
    pub fn report(&self, node: &str, (name, report): &(Name, Report)) {
        self.change(node, Change::Report(name.clone(), report.clone()));
        self.change(node, Change::Frontend(name.clone(), FrontendState::Up, None));
    }

    /// An agent could not program it.
    pub fn fail(&self, node: &str, (name, report): &(Name, Report), reason: &str) {
        let report = Report { result: ProgramResult::Failed, reason: reason.into(), ..report.clone() };
        self.change(node, Change::Report(name.clone(), report));
    }
}

/// A Frontend's status as it is stored.
pub async fn status(cluster: &Cluster, namespace: &str, name: &str) -> FrontendStatus {
    let frontends: Api<crd::Frontend> = Api::namespaced(cluster.client().await, namespace);
    frontends.get(name).await.unwrap().status.unwrap_or_default()
}
