//! Everything of one kind, as a map that is replaced when something of interest changes.
//!
//! For what the controller looks at beside our own kinds: pods, Nodes, MaglevNodes. As everywhere in
//! this room, what is not known is unknown: while it cannot be listed, the last list stands.

use std::pin::pin;

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use imbl::OrdMap;
use kube::{
    Api, Client,
    core::ApiResource,
    runtime::watcher::{self, Event},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Delays,
    causes::{Causes, describe},
    guard::Raw,
    retry::Retry,
};
use crate::model::Name;

/// What is of interest of each object; `None` before the first complete list.
pub type Listed<V> = Option<OrdMap<Name, V>>;

/// The watch of one kind before it runs.
pub(super) struct Listing<V> {
    api: Api<Raw>,
    kind: String,
    config: watcher::Config,
    delays: Delays,
    /// What is of interest; `None` for an object that is not.
    read: fn(&Raw) -> Option<V>,
    known: OrdMap<Name, V>,
    /// The list that is under way.
    incoming: Option<OrdMap<Name, V>>,
    listed: watch::Sender<Listed<V>>,
    causes: Causes,
}

impl<V: Clone + PartialEq + Send + Sync + 'static> Listing<V> {
    /// A watch of `resource` in `namespace`, or everywhere, limited to the labels `selector`; and where it appears.
    pub(super) fn new(
        client: Client,
        resource: &ApiResource,
        (namespace, selector): (Option<&str>, Option<&str>),
        delays: Delays,
        read: fn(&Raw) -> Option<V>,
    ) -> (Self, watch::Receiver<Listed<V>>) {
        let api = match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, resource),
            None => Api::all_with(client, resource),
        };
        let seconds = u32::try_from(delays.watch.as_secs()).unwrap_or(u32::MAX).max(1);
        let mut config = watcher::Config::default().timeout(seconds);
        if let Some(selector) = selector {
            config = config.labels(selector);
        }
        let (listed, listed_rx) = watch::channel(None);
        let (kind, causes) = (resource.kind.clone(), Causes::default());
        (Self { api, kind, config, delays, read, known: OrdMap::new(), incoming: None, listed, causes }, listed_rx)
    }

    /// Watches until `shutdown`.
    pub(super) fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.watch() => {}
            }
        }
        .boxed()
    }

    async fn watch(mut self) {
        let mut events = pin!(watcher::watcher(self.api.clone(), self.config.clone()));
        let mut retry = Retry::new(self.delays);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.take(event),
                Err(error) => {
                    self.tell(&error);
                    sleep_until(Instant::now() + retry.next()).await;
                }
            }
        }
    }

    fn take(&mut self, event: Event<Raw>) {
        match event {
            Event::Init => {
                // Nothing is known until the list is complete.
                self.incoming = Some(OrdMap::new());
                return;
            }
            Event::InitApply(raw) => {
                let found = (self.read)(&raw).map(|value| (raw.name(), value));
                self.incoming.get_or_insert_default().extend(found);
                return;
            }
            Event::InitDone => self.known = self.incoming.take().unwrap_or_default(),
            Event::Apply(raw) => match (self.read)(&raw) {
                Some(value) if self.known.get(&raw.name()) == Some(&value) => return,
                Some(value) => drop(self.known.insert(raw.name(), value)),
                None => drop(self.known.remove(&raw.name())),
            },
            Event::Delete(raw) => drop(self.known.remove(&raw.name())),
        }
        self.listed.send_replace(Some(self.known.clone()));
    }

    fn tell(&self, error: &watcher::Error) {
        let expired = matches!(error, watcher::Error::WatchError(status) if status.code == 410);
        let err = describe(error);
        if !expired && self.causes.is_news(&err) {
            tracing::warn!(kind = self.kind, kept = self.known.len(), err, "watch-failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn nothing_is_known_before_the_first_list_is_complete_and_the_last_one_stands_until_the_next() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = kube::Config::new("http://192.0.2.1".parse().expect("a URL"));
        let client = Client::try_from(config).expect("a client");
        let resource = ApiResource::erase::<k8s_openapi::api::core::v1::Node>(&());
        let delays = Delays { watch: Duration::from_mins(1), ..Delays::default() };
        let (mut listing, listed) = Listing::new(client, &resource, (None, None), delays, |_| Some(()));
        let node = |name: &str| serde_json::from_value::<Raw>(json!({"metadata": {"name": name}})).expect("an object");
        let names = || listed.borrow().as_ref().map(|of| of.keys().map(ToString::to_string).collect::<Vec<_>>());
        listing.take(Event::Init);
        listing.take(Event::InitApply(node("a")));
        assert_eq!(names(), None);
        listing.take(Event::InitDone);
        assert_eq!(names(), Some(vec!["a".to_owned()]));
        listing.take(Event::Init);
        listing.take(Event::InitApply(node("b")));
        assert_eq!(names(), Some(vec!["a".to_owned()]));
        listing.take(Event::InitDone);
        assert_eq!(names(), Some(vec!["b".to_owned()]));
    }
}
