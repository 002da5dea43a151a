//! Watches that run only while the index needs their objects: Namespaces and EndpointSlices.

use std::{collections::BTreeSet, sync::Arc};

use futures::future::{BoxFuture, pending};
use tokio::sync::watch;

use super::kind_watch::KindWatch;
use maglev_index::Index;
use maglev_model::{Name, config::Kind};

/// Watches `kind` while `wanted` holds a number; another number starts over with a list.
pub async fn watch_while_wanted(watch: impl Fn() -> KindWatch, mut wanted: watch::Receiver<Option<u64>>) {
    loop {
        let is_wanted = wanted.borrow_and_update().is_some();
        let current = async {
            match is_wanted {
                true => watch().run().await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            () = current => return,
            // Without a sender, the last state stays in force.
            Ok(()) = wanted.changed() => {}
        }
    }
}

/// The number of the current watch of Namespaces, while they have to be watched.
#[derive(Debug, Default)]
pub struct NamespaceDemand {
    current: Option<u64>,
    last: u64,
}

impl NamespaceDemand {
    /// Sets whether `index` needs Namespaces, and forgets them when it no longer does. Returns the number to watch with,
    /// if it has changed.
    pub fn update(&mut self, index: &mut Index) -> Option<Option<u64>> {
        let is_needed = index.needs_namespaces();
        if is_needed == self.current.is_some() {
            return None;
        }
        if is_needed {
            self.last += 1;
            self.current = Some(self.last);
        } else {
            self.current = None;
            index.unlist(Kind::Namespace);
        }
        Some(self.current)
    }
}

/// A watch of EndpointSlices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceWatch {
    /// The Services whose EndpointSlices it delivers.
    pub services: Arc<BTreeSet<Name>>,
}

/// The current watch of EndpointSlices, while pools follow a Service.
#[derive(Debug, Default)]
pub struct SliceDemand {
    current: Option<SliceWatch>,
    version: u64,
}

impl SliceDemand {
    /// Sets the Services that pools follow, and forgets all EndpointSlices when there is none. Returns the new watch if one
    /// has to be started: a watch that covers more Services than necessary goes on.
    pub fn update(&mut self, index: &mut Index) -> Option<Option<SliceWatch>> {
        let version = index.followed_version();
        if std::mem::replace(&mut self.version, version) == version {
            return None;
        }
        let followed = index.followed_services();
        let is_covered = |watch: &SliceWatch| !followed.is_empty() && followed.is_subset(&watch.services);
        if self.current.as_ref().is_some_and(is_covered) || followed.is_empty() && self.current.is_none() {
            return None;
        }
        self.current = (!followed.is_empty()).then(|| SliceWatch { services: Arc::new(followed) });
        if self.current.is_none() {
            index.unlist(Kind::EndpointSlice);
        }
        Some(self.current.clone())
    }
}

/// Watches EndpointSlices while `wanted` holds a watch. Another watch starts over with a list, but not before the list of the
/// current one is complete: else a cluster in which Services appear all the time would never complete one.
pub async fn watch_slices(watch: impl Fn(SliceWatch) -> KindWatch, mut wanted: watch::Receiver<Option<SliceWatch>>) {
    loop {
        let current = wanted.borrow_and_update().clone();
        let (listed_tx, mut listed_rx) = watch::channel(current.is_none());
        let run: BoxFuture<'static, ()> = match current {
            Some(current) => watch(current).with_listed(listed_tx).run(),
            None => Box::pin(pending()),
        };
        let other = async {
            // Without a sender, the last state stays in force.
            let Ok(()) = wanted.changed().await else { return pending().await };
            let is_wanted = wanted.borrow().is_some();
            if is_wanted {
                // Fails only for a watch that has ended.
                let _ = listed_rx.wait_for(|listed| *listed).await;
            }
        };
        tokio::select! {
            () = run => return,
            () = other => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maglev_index::{IndexOptions, Meta, Object, Stored};
    use maglev_model::config::Revision;
    use serde_json::json;

    fn frontend(name: &str, service: &str) -> Object {
        let spec = json!({
            "address": "203.0.113.1", "protocol": "TCP", "port": 80,
            "pools": [{"name": "p", "service": {"name": service, "targets": "Nodes"}}],
        });
        let (name, revision) = (Name::namespaced("shop", name), Revision::default());
        let meta = Meta { name, revision, created: jiff::Timestamp::UNIX_EPOCH };
        Object::Frontend(Stored { meta, spec: Ok(serde_json::from_value(spec).expect("a spec")) })
    }

    #[test]
    fn slices_are_watched_again_only_for_services_that_are_not_covered() {
        let (mut index, _) = Index::new(IndexOptions { services: true, ..IndexOptions::default() });
        let mut demand = SliceDemand::default();
        let services = |watch: Option<Option<SliceWatch>>| {
            watch.map(|watch| watch.map(|watch| watch.services.iter().map(ToString::to_string).collect::<Vec<_>>()))
        };
        assert_eq!(services(demand.update(&mut index)), None);
        index.apply(frontend("f1", "web"));
        assert_eq!(services(demand.update(&mut index)), Some(Some(vec!["shop/web".to_owned()])));
        index.apply(frontend("f2", "web"));
        assert_eq!(services(demand.update(&mut index)), None);
        index.apply(frontend("f2", "api"));
        assert_eq!(services(demand.update(&mut index)), Some(Some(vec!["shop/api".to_owned(), "shop/web".to_owned()])));
        index.delete(Kind::Frontend, &Name::namespaced("shop", "f2"));
        assert_eq!(services(demand.update(&mut index)), None, "the watch covers more than necessary");
        index.delete(Kind::Frontend, &Name::namespaced("shop", "f1"));
        assert_eq!(services(demand.update(&mut index)), Some(None));
    }
}
