//! The calls. Each answers from what is published: nothing waits for the agent but "sync now".

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::Stream;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, async_trait};

use super::{
    Identity, Metrics, Sources, SyncRefusal,
    encoded::Encoded,
    rate::Rate,
    selection::Selection,
    watcher::{Open, Watcher},
};
use crate::{
    convert::{state, time},
    proto::{self, serving::maglev_server::Maglev},
    server::objects::Objects,
};
use maglev_model::{event::Level, name::Name, view::VppView};
use maglev_telemetry::Snapshot;

/// "Sync now", by all callers together: so many at once, then one in a while.
const SYNC_BURST: u32 = 5;
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// Answers the calls.
pub struct Service {
    identity: Identity,
    sources: Sources,
    metrics: Metrics,
    watchers: Arc<Semaphore>,
    max_watchers: usize,
    syncs: Rate,
    shutdown: CancellationToken,
}

impl Service {
    pub fn new(
        identity: Identity,
        sources: Sources,
        metrics: Metrics,
        max_watchers: usize,
        shutdown: &CancellationToken,
    ) -> Self {
        let (watchers, syncs) = (Arc::new(Semaphore::new(max_watchers)), Rate::new(SYNC_BURST, SYNC_EVERY));
        Self { identity, sources, metrics, watchers, max_watchers, syncs, shutdown: shutdown.clone() }
    }

    fn snapshot(&self) -> Snapshot {
        self.sources.snapshots.borrow().clone()
    }

    fn objects(&self) -> Objects {
        Objects::new(self.snapshot(), self.sources.dumps.borrow().as_ref().map(|dump| dump.at))
    }

    fn version(&self) -> proto::GetVersionResponse {
        let Identity { node, version, commit, build_date, started } = self.identity.clone();
        let ready = self.sources.ready.borrow().clone();
        proto::GetVersionResponse {
            node,
            version,
            commit,
            build_date,
            started: Some(time(started)),
            epoch: self.sources.snapshots.borrow().as_of.epoch,
            ready: ready.is_ok(),
            not_ready_reason: ready.err().unwrap_or_default(),
        }
    }

    fn vpp_info(&self) -> Result<proto::GetVppInfoResponse, Status> {
        let Snapshot { view, .. } = self.snapshot();
        let VppView { info, since, .. } = view.vpp.ok_or_else(disconnected)?;
        let counters = self.sources.counters.borrow().clone();
        let boot_time = counters.and_then(|snapshot| snapshot.counters.as_ref().map(|counters| counters.boot_time));
        let started = boot_time.and_then(|seconds| Timestamp::from_second(i64::try_from(seconds).ok()?).ok());
        Ok(proto::GetVppInfoResponse {
            info: Some((&*info).into()),
            connected_since: Some(time(since)),
            started: started.map(time),
        })
    }

    fn watch(&self, request: &proto::WatchEventsRequest) -> Result<Messages, Status> {
        let selection = Selection::of(request)?;
        let level = Level::try_from(request.log_level()).unwrap_or(Level::Info);
        let place = Arc::clone(&self.watchers).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!("there are {} watchers, which is the maximum", self.max_watchers))
        })?;
        let open = Open::new(self.metrics.watchers.clone(), place);
        let (since, shutdown) = (request.since.map(Into::into), self.shutdown.clone());
        let (events, metrics) = (&self.sources.events, self.metrics.clone());
        Ok(Box::pin(Watcher::new(events, level, since, selection, metrics, shutdown, open).stream()))
    }

    async fn sync(&self, request: proto::SyncVppLbStateRequest) -> Result<proto::SyncVppLbStateResponse, Status> {
        if !self.syncs.allow() {
            let every = SYNC_EVERY.as_secs();
            return Err(Status::resource_exhausted(format!("a sync may be asked for once in {every} s; try again")));
        }
        let accept = Some(request.accept_removals).filter(|id| !id.is_empty());
        match (self.sources.sync)(accept).await {
            Ok(()) => Ok(proto::SyncVppLbStateResponse {}),
            Err(SyncRefusal::NotYet(why)) => Err(Status::failed_precondition(why)),
            Err(SyncRefusal::UnknownHold(why)) => Err(Status::not_found(why)),
            Err(SyncRefusal::Unavailable(why)) => Err(Status::unavailable(why)),
        }
    }
}

fn disconnected() -> Status {
    Status::unavailable("VPP is not connected")
}

type Messages = Pin<Box<dyn Stream<Item = Result<Encoded, Status>> + Send>>;
type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl Maglev for Service {
    type WatchEventsStream = Messages;

    async fn get_version(&self, _: Request<proto::GetVersionRequest>) -> Answer<proto::GetVersionResponse> {
        self.metrics.answered("GetVersion", Ok(self.version()))
    }

    async fn list_frontends(&self, _: Request<proto::ListFrontendsRequest>) -> Answer<proto::ListFrontendsResponse> {
        self.metrics.answered("ListFrontends", Ok(self.objects().frontends()))
    }

    async fn get_frontend(&self, asked: Request<proto::GetFrontendRequest>) -> Answer<proto::GetFrontendResponse> {
        let name = Name::from(&*asked.get_ref().name);
        self.metrics.answered("GetFrontend", self.objects().frontend(&name))
    }

    async fn list_backends(&self, _: Request<proto::ListBackendsRequest>) -> Answer<proto::ListBackendsResponse> {
        self.metrics.answered("ListBackends", Ok(self.objects().backends()))
    }

    async fn get_backend(&self, asked: Request<proto::GetBackendRequest>) -> Answer<proto::GetBackendResponse> {
        let name = Name::from(&*asked.get_ref().name);
        let probing = (self.sources.probing)(&name);
        self.metrics.answered("GetBackend", self.objects().backend(&name, probing))
    }

    async fn list_health_checks(
        &self,
        _: Request<proto::ListHealthChecksRequest>,
    ) -> Answer<proto::ListHealthChecksResponse> {
        self.metrics.answered("ListHealthChecks", Ok(self.objects().health_checks()))
    }

    async fn get_health_check(
        &self,
        asked: Request<proto::GetHealthCheckRequest>,
    ) -> Answer<proto::GetHealthCheckResponse> {
        let name = Name::from(&*asked.get_ref().name);
        self.metrics.answered("GetHealthCheck", self.objects().health_check(&name))
    }

    async fn get_state(&self, _: Request<proto::GetStateRequest>) -> Answer<proto::GetStateResponse> {
        let Snapshot { view, as_of } = self.snapshot();
        let answer = proto::GetStateResponse { state: Some(state(&view)), as_of: Some(as_of.into()) };
        self.metrics.answered("GetState", Ok(answer))
    }

    async fn watch_events(&self, asked: Request<proto::WatchEventsRequest>) -> Answer<Messages> {
        self.metrics.answered("WatchEvents", self.watch(asked.get_ref()))
    }

    async fn get_vpp_info(&self, _: Request<proto::GetVppInfoRequest>) -> Answer<proto::GetVppInfoResponse> {
        self.metrics.answered("GetVppInfo", self.vpp_info())
    }

    async fn get_vpp_lb_state(&self, _: Request<proto::GetVppLbStateRequest>) -> Answer<proto::GetVppLbStateResponse> {
        let dump = self.sources.dumps.borrow().clone();
        self.metrics.answered("GetVppLbState", dump.as_deref().map(Into::into).ok_or_else(disconnected))
    }

    async fn get_vpp_lb_counters(
        &self,
        _: Request<proto::GetVppLbCountersRequest>,
    ) -> Answer<proto::GetVppLbCountersResponse> {
        let counters = self.sources.counters.borrow().clone();
        self.metrics.answered("GetVppLbCounters", counters.as_deref().map(Into::into).ok_or_else(disconnected))
    }

    async fn sync_vpp_lb_state(
        &self,
        asked: Request<proto::SyncVppLbStateRequest>,
    ) -> Answer<proto::SyncVppLbStateResponse> {
        let answer = self.sync(asked.into_inner()).await;
        self.metrics.answered("SyncVppLbState", answer)
    }
}
