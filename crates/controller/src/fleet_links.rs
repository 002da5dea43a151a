//! Hears the agents through a fleet of its own, which keeps a digest of each instead of the whole state.

use std::{fmt, sync::Arc};

use kube::Client;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    digest::Digest,
    links::{AgentLinks, LinkNews},
};
use maglev_fleet::{
    Fleet, FleetHandle, FleetOptions, FleetUpdate, Link, Loops, Mirror, NodeState, Source, Update, Updates,
};
use maglev_kube::Delays;

/// News that may wait for the controller.
const QUEUE: usize = 4096;

impl Mirror for Digest {
    /// The stream alone; its connection is kept alive by pings, and its state fetched where something was missed.
    const LOOPS: Loops = Loops::NONE;
}

/// Links to the agents of one namespace.
#[derive(Clone)]
pub struct FleetLinks {
    client: Client,
    namespace: String,
    delays: Delays,
    options: FleetOptions,
}

impl fmt::Debug for FleetLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetLinks").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl FleetLinks {
    /// Links to the agents whose pods `client` finds in `namespace`.
    pub fn new(client: Client, namespace: &str, delays: Delays, options: FleetOptions) -> Self {
        Self { client, namespace: namespace.to_owned(), delays, options }
    }
}

impl AgentLinks for FleetLinks {
    fn follow(&self, shutdown: CancellationToken) -> mpsc::Receiver<LinkNews> {
        let namespace = Some(self.namespace.clone());
        let source = Source::Pods { client: self.client.clone(), namespace, delays: self.delays };
        let fleet: Fleet<Digest> = Fleet::new(source, self.options.clone());
        let (handle, (news, news_rx)) = (fleet.handle(), mpsc::channel(QUEUE));
        let updates = handle.subscribe();
        tokio::spawn(fleet.run(shutdown));
        // It ends with the fleet, or when nobody takes the news.
        tokio::spawn(pass_on(handle, updates, news));
        news_rx
    }
}

async fn pass_on(handle: FleetHandle<Digest>, mut updates: Updates, news: mpsc::Sender<LinkNews>) {
    while let Some(update) = updates.next().await {
        let told: Vec<LinkNews> = match update {
            Update::Next(FleetUpdate::Node(node)) => handle.node(&node).and_then(|of| link(&of)).into_iter().collect(),
            Update::Next(FleetUpdate::Gone(node)) => vec![LinkNews::Gone(node)],
            Update::Next(FleetUpdate::Reset(node)) => handle.node(&node).as_ref().map(whole).unwrap_or_default(),
            Update::Next(FleetUpdate::Followed(followed)) => {
                let changes = followed.lines.iter().filter_map(|line| Some((line.change.clone()?, line.time)));
                vec![LinkNews::Changes(Arc::clone(&followed.node), changes.collect())]
            }
            Update::Next(FleetUpdate::Probes(_) | FleetUpdate::Dump(_) | FleetUpdate::Counters(_)) => continue,
            // What was lost is in what is known now.
            Update::Lost(_) => handle.nodes().iter().flat_map(whole).collect(),
        };
        for of in told {
            if news.send(of).await.is_err() {
                return;
            }
        }
    }
}

/// All that is known of a node.
fn whole(of: &NodeState<Digest>) -> Vec<LinkNews> {
    let reset = of.as_of.is_some().then(|| LinkNews::Reset(Arc::clone(&of.node), of.view.clone()));
    reset.into_iter().chain(link(of)).collect()
}

fn link(of: &NodeState<Digest>) -> Option<LinkNews> {
    let up = match &of.link {
        Link::Connecting => return None,
        Link::Connected => Ok(()),
        Link::Unreachable { error, .. } => Err(Arc::clone(error)),
    };
    Some(LinkNews::Link(Arc::clone(&of.node), up))
}
