//! The second stream: an agent's probes of the Backends that are subscribed to.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};

use super::poller::Poller;
use crate::{
    mirror::Mirror,
    update::{FleetUpdate, FollowedLines},
};
use maglev_model::{Name, event::Level};
use maglev_rpc::client::{EventStream, WatchRequest};

/// Delay before a stream that was refused or broke is opened again.
const RETRY: Duration = Duration::from_secs(1);

type Names = watch::Receiver<Arc<[Name]>>;

impl<M: Mirror> Poller<M> {
    /// Follows the probes of the subscribed Backends.
    pub async fn follow_probes(&self) -> Infallible {
        let mut names_rx = self.cell.subscriptions.names();
        loop {
            let names = names_rx.borrow_and_update().clone();
            if names.is_empty() {
                wait(&mut names_rx).await;
                continue;
            }
            let request = WatchRequest { level: Level::Debug, names: names.to_vec(), ..WatchRequest::default() };
            let broke = tokio::select! {
                () = wait(&mut names_rx) => false,
                () = self.follow_stream(request) => true,
            };
            if broke {
                sleep(RETRY).await;
            }
        }
    }

    async fn follow_stream(&self, request: WatchRequest) {
        let Ok(mut stream) = self.client.watch(request).await else { return };
        while let Ok(Some(lines)) = self.next_probes(&mut stream).await {
            if !lines.lines.is_empty() {
                self.store.publish(FleetUpdate::Probes(Arc::new(lines)));
            }
        }
    }

    /// Drops lines with a sequence number: the first stream carries them.
    async fn next_probes(
        &self,
        stream: &mut EventStream,
    ) -> Result<Option<FollowedLines>, maglev_rpc::client::ClientError> {
        let Some(mut batch) = stream.next().await? else { return Ok(None) };
        batch.lines.retain(|line| line.seq.is_none());
        Ok(Some(FollowedLines { node: Arc::clone(&self.node), as_of: batch.as_of, lines: batch.lines }))
    }
}

/// Waits until the subscriptions change, or forever once they cannot.
async fn wait(names_rx: &mut Names) {
    if names_rx.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
