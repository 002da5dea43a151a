//! `MaglevNode.spec.acceptRemovals`: the removal holds that operators accepted on a node. The agent watches its own
//! MaglevNode, and `cli` adds a hold.
//!
//! The field is written with a merge patch that carries the resourceVersion that was read, so that no concurrent change
//! is lost. The agent only reads. While the MaglevNode cannot be read, the last list stays in force, which does no harm:
//! the id of a hold is random and never used again.

use std::{collections::BTreeSet, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    core::ApiResource,
    runtime::watcher::Event,
};
use maglev_net::LogThrottle;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Delays,
    kinds::watch_all,
    operator_change::MANAGER,
    raw_object::RawObject,
    watch_loop::{WatchHandler, WatchLoopOptions, watch_loop},
};
use maglev_crd::{MAX_ACCEPTED_HOLDS, MaglevNode};

/// Attempts while other clients write the object at the same time.
const TRIES: usize = 4;

/// Ids of removal holds.
pub type HoldIds = BTreeSet<Arc<str>>;

/// The watch of one node's accepted holds before it runs.
pub struct AcceptedRemovals {
    api: Api<RawObject>,
    node: String,
    delays: Delays,
    accepted_tx: watch::Sender<HoldIds>,
}

impl AcceptedRemovals {
    /// The watch, and the receiver of the holds that are accepted on `node`: empty until the first list.
    pub fn new(client: Client, node: String, delays: Delays) -> (Self, watch::Receiver<HoldIds>) {
        let (accepted_tx, accepted_rx) = watch::channel(HoldIds::new());
        (Self { api: maglev_nodes(client), node, delays, accepted_tx }, accepted_rx)
    }

    /// Watches until `shutdown`.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        let Self { api, node, delays, accepted_tx } = self;
        async move {
            let config = watch_all(delays.watch).fields(&format!("metadata.name={node}"));
            let (mut store, throttle) = (Store { node, accepted_tx }, LogThrottle::default());
            let options = WatchLoopOptions { kind: "MaglevNode", delays, throttle: &throttle };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = watch_loop(api, config, &mut store, options) => {}
            }
        }
        .boxed()
    }
}

struct Store {
    node: String,
    accepted_tx: watch::Sender<HoldIds>,
}

impl WatchHandler<RawObject> for Store {
    fn handle(&mut self, event: Event<RawObject>) {
        // A deleted MaglevNode is created again without a spec.
        let (Event::InitApply(object) | Event::Apply(object)) = event else { return };
        if object.name().as_str() != self.node {
            return;
        }
        let accepted = hold_ids(&object);
        self.accepted_tx.send_if_modified(|before| {
            let changed = *before != accepted;
            *before = accepted;
            changed
        });
    }

    fn object_count(&self) -> usize {
        1
    }
}

/// The accepted holds of a MaglevNode. A value that is not a list of texts counts as no hold.
fn hold_ids(object: &RawObject) -> HoldIds {
    let ids = object.field("/spec/acceptRemovals").and_then(Value::as_array);
    ids.into_iter().flatten().filter_map(Value::as_str).take(MAX_ACCEPTED_HOLDS).map(Arc::from).collect()
}

fn maglev_nodes(client: Client) -> Api<RawObject> {
    Api::all_with(client, &ApiResource::erase::<MaglevNode>(&()))
}

/// A hold that was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    #[error(
        "there is no MaglevNode {0}: maglev-controller creates it while an agent runs on the node, so check that the \
         controller runs"
    )]
    NotFound(String),
    /// The API server refused, or did not answer.
    #[error("cannot {step} MaglevNode {node}")]
    Api {
        /// A verb: "read" or "patch".
        step: &'static str,
        node: String,
        #[source]
        source: Box<kube::Error>,
    },
    /// Other clients kept writing the object at the same time.
    #[error("MaglevNode {0} was changed by another client during each of {TRIES} attempts; try again")]
    Busy(String),
}

impl AcceptError {
    /// A fixed PascalCase word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "NotFound",
            Self::Api { .. } => "ApiRefused",
            Self::Busy(_) => "Busy",
        }
    }
}

/// Adds `hold` to the accepted holds of `node`, and drops those that are not among `held`, the holds that the agent has.
///
/// # Errors
/// See [`AcceptError`]; nothing was written.
pub async fn accept_removals(client: &Client, node: &str, hold: &str, held: &HoldIds) -> Result<(), AcceptError> {
    let api = maglev_nodes(client.clone());
    let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    let failed = |step: &'static str, source: kube::Error| match source {
        kube::Error::Api(status) if status.is_not_found() => AcceptError::NotFound(node.to_owned()),
        source => AcceptError::Api { step, node: node.to_owned(), source: Box::new(source) },
    };
    for _ in 0..TRIES {
        let object = api.get(node).await.map_err(|source| failed("read", source))?;
        let before = hold_ids(&object);
        if before.contains(hold) {
            return Ok(());
        }
        let patch = json!({
            "metadata": { "resourceVersion": object.resource_version() },
            "spec": { "acceptRemovals": with_hold(before, hold, held) },
        });
        match api.patch(node, &params, &Patch::Merge(patch)).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.is_conflict() => {}
            Err(source) => return Err(failed("patch", source)),
        }
    }
    Err(AcceptError::Busy(node.to_owned()))
}

/// The new list: holds that have ended make room.
fn with_hold(before: HoldIds, hold: &str, held: &HoldIds) -> Vec<Arc<str>> {
    let current = before.into_iter().filter(|id| held.contains(id));
    std::iter::once(Arc::from(hold)).chain(current).take(MAX_ACCEPTED_HOLDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids<const N: usize>(ids: [&str; N]) -> HoldIds {
        ids.into_iter().map(Arc::from).collect()
    }

    #[test]
    fn ended_holds_make_room_for_an_accepted_hold() {
        let held = ids(["00000001", "00000002"]);
        let list = with_hold(ids(["00000001", "0000dead"]), "00000002", &held);
        assert_eq!(list, ["00000002", "00000001"].map(Arc::<str>::from));
        let many: HoldIds = (0..20).map(|n| format!("{n:08x}").into()).collect();
        let list = with_hold(many.clone(), "ffffffff", &many);
        assert_eq!((list.len(), &*list[0]), (MAX_ACCEPTED_HOLDS, "ffffffff"));
    }

    #[test]
    fn only_the_own_node_and_readable_ids_count() {
        let object = |name: &str, spec: Value| -> RawObject {
            serde_json::from_value(json!({ "metadata": { "name": name }, "spec": spec })).unwrap()
        };
        let (accepted_tx, accepted_rx) = watch::channel(HoldIds::new());
        let mut store = Store { node: "a".to_owned(), accepted_tx };
        store.handle(Event::InitApply(object("a", json!({ "acceptRemovals": ["00000001", 7] }))));
        assert_eq!(*accepted_rx.borrow(), ids(["00000001"]));
        store.handle(Event::Apply(object("b", json!({ "acceptRemovals": ["00000002"] }))));
        store.handle(Event::Delete(object("a", json!({}))));
        assert_eq!(*accepted_rx.borrow(), ids(["00000001"]));
        store.handle(Event::Apply(object("a", json!({}))));
        assert_eq!(*accepted_rx.borrow(), ids([]));
    }
}
