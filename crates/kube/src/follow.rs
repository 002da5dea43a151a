//! A plain watch: lists a kind, watches it, starts over after a failure, for ever. Where it counts whether the kind is
//! served at all, `kind_watch` does more.

use std::{fmt::Debug, pin::pin};

use futures::StreamExt as _;
use kube::{
    Api, Resource,
    runtime::watcher::{self, Event},
};
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use super::{
    Delays,
    causes::{Causes, describe},
    retry::Retry,
};

/// Who keeps what a watch tells.
pub trait Follower<K> {
    /// Books an event. What is not listed again is gone once the list is complete, and not before.
    fn take(&mut self, event: Event<K>);

    /// How many objects it keeps while the watch fails.
    fn kept(&self) -> usize;
}

/// Hands everything to `follower`, and tells of failures; `kind` is what it is called there.
pub async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    follower: &mut impl Follower<K>,
    delays: Delays,
    (kind, causes): (&str, &Causes),
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut events = pin!(watcher::watcher(api, config));
    let mut retry = Retry::new(delays);
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => follower.take(event),
            Err(error) => {
                let err = describe(&error);
                if !is_expired(&error) && causes.is_news(&err) {
                    tracing::warn!(kind, kept = follower.kept(), err, "watch-failed");
                }
                sleep(retry.next()).await;
            }
        }
    }
}

/// Whether a watch was too old to be taken up where it was, which is how a long pause ends: it is listed anew.
pub fn is_expired(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchError(status) if status.code == 410)
}
