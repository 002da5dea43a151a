//! A plain watch: lists a kind, watches it, and starts over after a failure, forever. `kind_watch` also checks that the
//! kind is served.

use std::{fmt::Debug, pin::pin};

use futures::StreamExt as _;
use kube::{
    Api, Resource,
    runtime::watcher::{self, Event},
};
use maglev_net::{LogThrottle, error_chain};
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use super::Delays;

/// Receiver of watch events.
pub trait WatchHandler<K> {
    /// Applies an event. Objects missing from a new list are removed once the list is complete, and not before.
    fn handle(&mut self, event: Event<K>);

    /// Number of objects that stay in force while the watch fails.
    fn object_count(&self) -> usize;
}

/// The watched kind as log messages call it, and how failures are retried and logged.
pub struct WatchLoopOptions<'a> {
    pub kind: &'a str,
    pub delays: Delays,
    pub throttle: &'a LogThrottle,
}

/// Passes every event to `handler`, and logs failures.
pub async fn watch_loop<K>(
    api: Api<K>,
    config: watcher::Config,
    handler: &mut impl WatchHandler<K>,
    options: WatchLoopOptions<'_>,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let WatchLoopOptions { kind, delays, throttle } = options;
    let mut events = pin!(watcher::watcher(api, config));
    let mut retry = delays.backoff();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => handler.handle(event),
            Err(error) => {
                let text = error_chain(&error);
                if !is_expired(&error) && throttle.admit(&text).is_some() {
                    tracing::warn!(kind, objects = handler.object_count(), error = text, "watch failed");
                }
                sleep(retry.next_delay()).await;
            }
        }
    }
}

/// True if the watch was too old to be resumed (410 Gone), as after a long pause. The kind is then listed again.
pub fn is_expired(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchError(status) if status.code == 410)
}
