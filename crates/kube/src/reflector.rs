//! Mirrors all objects of one kind as a map of extracts: the fields of an object that the map's readers use. The map is
//! published only if an extract changed.
//!
//! Used for pods, Nodes and MaglevNodes. While the kind cannot be listed, the last list stays in force.

use std::fmt::Debug;

use futures::{FutureExt as _, future::BoxFuture};
use imbl::OrdMap;
use kube::{
    Api, Resource,
    runtime::watcher::{self, Event},
};
use maglev_net::LogThrottle;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Delays,
    kinds::{name_of, watch_all},
    watch_loop::{WatchHandler, WatchLoopOptions, watch_loop},
};
use maglev_model::Name;

/// The latest extract of each object; `None` until the first complete list.
pub type Listed<V> = Option<OrdMap<Name, V>>;

/// The watch of one kind before it runs.
pub struct Reflector<K, V> {
    api: Api<K>,
    kind: &'static str,
    config: watcher::Config,
    delays: Delays,
    store: ReflectorStore<K, V>,
}

struct ReflectorStore<K, V> {
    /// Makes the extract; `None` leaves the object out.
    extract: fn(&K) -> Option<V>,
    extracts: OrdMap<Name, V>,
    /// The list in progress.
    incoming: Option<OrdMap<Name, V>>,
    listed: watch::Sender<Listed<V>>,
}

impl<K, V> Reflector<K, V>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    V: Clone + PartialEq + Send + Sync + 'static,
{
    /// Watches the objects of `api`, called `kind` in the log and limited to the label selector.
    pub fn new(
        api: Api<K>,
        kind: &'static str,
        selector: Option<&str>,
        delays: Delays,
        extract: fn(&K) -> Option<V>,
    ) -> (Self, watch::Receiver<Listed<V>>) {
        let config = watch_all(delays.watch);
        let config = match selector {
            Some(selector) => config.labels(selector),
            None => config,
        };
        let (store, listed_rx) = ReflectorStore::new(extract);
        (Self { api, kind, config, delays, store }, listed_rx)
    }

    /// Watches until `shutdown`.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        let Self { api, kind, config, delays, mut store } = self;
        async move {
            let throttle = LogThrottle::default();
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = watch_loop(api, config, &mut store, WatchLoopOptions { kind, delays, throttle: &throttle }) => {}
            }
        }
        .boxed()
    }
}

impl<K, V> ReflectorStore<K, V> {
    fn new(extract: fn(&K) -> Option<V>) -> (Self, watch::Receiver<Listed<V>>) {
        let (listed, listed_rx) = watch::channel(None);
        (Self { extract, extracts: OrdMap::new(), incoming: None, listed }, listed_rx)
    }
}

impl<K: Resource, V: Clone + PartialEq> WatchHandler<K> for ReflectorStore<K, V> {
    fn handle(&mut self, event: Event<K>) {
        match event {
            Event::Init => {
                self.incoming = Some(OrdMap::new());
                return;
            }
            Event::InitApply(object) => {
                let extract = (self.extract)(&object).map(|value| (name_of(object.meta()), value));
                self.incoming.get_or_insert_default().extend(extract);
                return;
            }
            Event::InitDone => self.extracts = self.incoming.take().unwrap_or_default(),
            Event::Apply(object) => {
                let (name, value) = (name_of(object.meta()), (self.extract)(&object));
                if self.extracts.get(&name) == value.as_ref() {
                    return;
                }
                match value {
                    Some(value) => drop(self.extracts.insert(name, value)),
                    None => drop(self.extracts.remove(&name)),
                }
            }
            Event::Delete(object) => drop(self.extracts.remove(&name_of(object.meta()))),
        }
        self.listed.send_replace(Some(self.extracts.clone()));
    }

    fn object_count(&self) -> usize {
        self.extracts.len()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Node;
    use serde_json::json;

    use super::*;

    #[test]
    fn list_is_published_only_when_complete() {
        let (mut store, listed) = ReflectorStore::new(|_: &Node| Some(()));
        let node = |name: &str| serde_json::from_value::<Node>(json!({"metadata": {"name": name}})).expect("a Node");
        let names =
            || listed.borrow().as_ref().map(|extracts| extracts.keys().map(ToString::to_string).collect::<Vec<_>>());
        store.handle(Event::Init);
        store.handle(Event::InitApply(node("a")));
        assert_eq!(names(), None);
        store.handle(Event::InitDone);
        assert_eq!(names(), Some(vec!["a".to_owned()]));
        store.handle(Event::Init);
        store.handle(Event::InitApply(node("b")));
        assert_eq!(names(), Some(vec!["a".to_owned()]));
        store.handle(Event::InitDone);
        assert_eq!(names(), Some(vec!["b".to_owned()]));
    }

    #[test]
    fn unchanged_extract_is_not_published_and_a_missing_one_removes_the_object() {
        let (mut store, mut listed) = ReflectorStore::new(|node: &Node| node.metadata.labels.clone());
        let node = |labels| serde_json::from_value::<Node>(json!({"metadata": {"name": "a", "labels": labels}}));
        let node = |labels| node(labels).expect("a Node");
        let mut after = |event| {
            store.handle(event);
            let changed = listed.has_changed().expect("the store lives");
            (changed, listed.borrow_and_update().as_ref().map(OrdMap::len))
        };
        assert_eq!(after(Event::InitDone), (true, Some(0)));
        assert_eq!(after(Event::Apply(node(json!(null)))), (false, Some(0)));
        assert_eq!(after(Event::Apply(node(json!({"x": "y"})))), (true, Some(1)));
        assert_eq!(after(Event::Apply(node(json!({"x": "y"})))), (false, Some(1)));
        assert_eq!(after(Event::Apply(node(json!(null)))), (true, Some(0)));
    }
}
