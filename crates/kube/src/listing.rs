//! Everything of one kind, as a map that is replaced when something of interest changes.
//!
//! For what the controller looks at beside our own kinds: pods, Nodes, MaglevNodes. As everywhere in
//! this room, what is not known is unknown: while it cannot be listed, the last list stands.

use std::fmt::Debug;

use futures::{FutureExt as _, future::BoxFuture};
use imbl::OrdMap;
use kube::{
    Api, Resource,
    runtime::watcher::{self, Event},
};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Delays,
    causes::Causes,
    follow::{Follower, follow},
    kinds::{name_of, watch_all},
};
use maglev_model::Name;

/// What is of interest of each object; `None` before the first complete list.
pub type Listed<V> = Option<OrdMap<Name, V>>;

/// The watch of one kind before it runs.
pub struct Listing<K, V> {
    api: Api<K>,
    kind: &'static str,
    config: watcher::Config,
    delays: Delays,
    keeper: Keeper<K, V>,
}

/// What is known.
struct Keeper<K, V> {
    /// What is of interest; `None` for an object that is not.
    read: fn(&K) -> Option<V>,
    known: OrdMap<Name, V>,
    /// The list that is under way.
    incoming: Option<OrdMap<Name, V>>,
    listed: watch::Sender<Listed<V>>,
}

impl<K, V> Listing<K, V>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    V: Clone + PartialEq + Send + Sync + 'static,
{
    /// A watch of what `api` serves, which is `kind`, limited to the labels `selector`; and where it appears.
    pub fn new(
        api: Api<K>,
        kind: &'static str,
        selector: Option<&str>,
        delays: Delays,
        read: fn(&K) -> Option<V>,
    ) -> (Self, watch::Receiver<Listed<V>>) {
        let config = watch_all(delays.watch);
        let config = match selector {
            Some(selector) => config.labels(selector),
            None => config,
        };
        let (keeper, listed_rx) = Keeper::new(read);
        (Self { api, kind, config, delays, keeper }, listed_rx)
    }

    /// Watches until `shutdown`.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        let Self { api, kind, config, delays, mut keeper } = self;
        async move {
            let causes = Causes::default();
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = follow(api, config, &mut keeper, delays, (kind, &causes)) => {}
            }
        }
        .boxed()
    }
}

impl<K, V> Keeper<K, V> {
    fn new(read: fn(&K) -> Option<V>) -> (Self, watch::Receiver<Listed<V>>) {
        let (listed, listed_rx) = watch::channel(None);
        (Self { read, known: OrdMap::new(), incoming: None, listed }, listed_rx)
    }
}

impl<K: Resource, V: Clone + PartialEq> Follower<K> for Keeper<K, V> {
    fn take(&mut self, event: Event<K>) {
        match event {
            Event::Init => {
                self.incoming = Some(OrdMap::new());
                return;
            }
            Event::InitApply(object) => {
                let found = (self.read)(&object).map(|value| (name_of(object.meta()), value));
                self.incoming.get_or_insert_default().extend(found);
                return;
            }
            Event::InitDone => self.known = self.incoming.take().unwrap_or_default(),
            Event::Apply(object) => {
                let (name, value) = (name_of(object.meta()), (self.read)(&object));
                if self.known.get(&name) == value.as_ref() {
                    return;
                }
                match value {
                    Some(value) => drop(self.known.insert(name, value)),
                    None => drop(self.known.remove(&name)),
                }
            }
            Event::Delete(object) => drop(self.known.remove(&name_of(object.meta()))),
        }
        self.listed.send_replace(Some(self.known.clone()));
    }

    fn kept(&self) -> usize {
        self.known.len()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Node;
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_is_known_before_the_first_list_is_complete_and_the_last_one_stands_until_the_next() {
        let (mut keeper, listed) = Keeper::new(|_: &Node| Some(()));
        let node = |name: &str| serde_json::from_value::<Node>(json!({"metadata": {"name": name}})).expect("a Node");
        let names = || listed.borrow().as_ref().map(|of| of.keys().map(ToString::to_string).collect::<Vec<_>>());
        keeper.take(Event::Init);
        keeper.take(Event::InitApply(node("a")));
        assert_eq!(names(), None);
        keeper.take(Event::InitDone);
        assert_eq!(names(), Some(vec!["a".to_owned()]));
        keeper.take(Event::Init);
        keeper.take(Event::InitApply(node("b")));
        assert_eq!(names(), Some(vec!["a".to_owned()]));
        keeper.take(Event::InitDone);
        assert_eq!(names(), Some(vec!["b".to_owned()]));
    }

    #[test]
    fn what_is_of_no_interest_any_more_is_forgotten_and_what_is_the_same_is_not_told_again() {
        let (mut keeper, mut listed) = Keeper::new(|node: &Node| node.metadata.labels.clone());
        let node = |labels| serde_json::from_value::<Node>(json!({"metadata": {"name": "a", "labels": labels}}));
        let node = |labels| node(labels).expect("a Node");
        let mut after = |event| {
            keeper.take(event);
            let told = listed.has_changed().expect("the keeper lives");
            (told, listed.borrow_and_update().as_ref().map(OrdMap::len))
        };
        assert_eq!(after(Event::InitDone), (true, Some(0)));
        assert_eq!(after(Event::Apply(node(json!(null)))), (false, Some(0)));
        assert_eq!(after(Event::Apply(node(json!({"x": "y"})))), (true, Some(1)));
        assert_eq!(after(Event::Apply(node(json!({"x": "y"})))), (false, Some(1)));
        assert_eq!(after(Event::Apply(node(json!(null)))), (true, Some(0)));
    }
}
