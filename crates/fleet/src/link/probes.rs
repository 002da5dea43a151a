//! The second stream: an agent's probes, while somebody wants to see them, and only of what they want to see.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};

use super::questions::Questions;
use crate::{
    mirror::Mirror,
    update::{FleetUpdate, FollowedLines},
};
use maglev_model::{Name, event::Level};
use maglev_rpc::client::{Watch, WatchRequest};

/// Before the stream is opened again that was refused or broke.
const RETRY: Duration = Duration::from_secs(1);

type Names = watch::Receiver<Arc<[Name]>>;

impl<M: Mirror> Questions<M> {
    /// Follows the probes of whatever is wanted.
    pub async fn probes(&self) -> Infallible {
        let mut names_rx = self.cell.interest.names();
        loop {
            let names = names_rx.borrow_and_update().clone();
            if names.is_empty() {
                wait(&mut names_rx).await;
                continue;
            }
            let request = WatchRequest { level: Level::Debug, names: names.to_vec(), ..WatchRequest::default() };
            let broke = tokio::select! {
                () = wait(&mut names_rx) => false,
                () = self.follow_probes(request) => true,
            };
            if broke {
                sleep(RETRY).await;
            }
        }
    }

    async fn follow_probes(&self, request: WatchRequest) {
        let Ok(mut watch) = self.client.watch(request).await else { return };
        while let Ok(Some(lines)) = self.next_probes(&mut watch).await {
            if !lines.lines.is_empty() {
                self.store.tell(FleetUpdate::Probes(Arc::new(lines)));
            }
        }
    }

    /// What has a number comes by the other stream.
    async fn next_probes(&self, watch: &mut Watch) -> Result<Option<FollowedLines>, maglev_rpc::client::ClientError> {
        let Some(mut followed) = watch.next().await? else { return Ok(None) };
        followed.lines.retain(|line| line.seq.is_none());
        Ok(Some(FollowedLines { node: Arc::clone(&self.node), as_of: followed.as_of, lines: followed.lines }))
    }
}

/// Waits until something else is wanted; for ever once nobody can want anything.
async fn wait(names_rx: &mut Names) {
    if names_rx.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
