//! The calls. Each responds with published state; only ProbePaths and SyncVppLbState wait for the agent.

use std::{net::Ipv4Addr, num::NonZeroU32, pin::Pin, time::Duration};

use bytes::Bytes;
use futures::Stream;
use jiff::Timestamp;
use parking_lot::Mutex;
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, async_trait};

use super::{
    GrpcMetrics, Identity, Sources, SyncRefusal,
    encoded::EncodedResponse,
    selection::Selection,
    watcher::{StreamEnd, Watcher, WatcherSlot},
};
use crate::{
    convert::{path, state, time},
    proto::{self, serving::maglev_server::Maglev},
    server::objects::Objects,
};
use maglev_model::{event::Level, name::Name, view::VppView};
use maglev_net::{ConnectionHandle, RateLimit, Slots};
use maglev_telemetry::{AsOf, ViewSnapshot};

/// Limit of the event streams of one peer.
const MAX_WATCHERS_PER_PEER: usize = 64;
/// Burst of SyncVppLbState calls, over all callers.
const SYNC_BURST: NonZeroU32 = NonZeroU32::new(5).expect("not zero");
/// Interval of further SyncVppLbState calls.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// Burst of ProbePaths calls, over all callers.
const PROBE_BURST: NonZeroU32 = NonZeroU32::new(5).expect("not zero");
/// Interval of further ProbePaths calls.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Timeout of ProbePaths, below that of clients.
const PROBE_TIMEOUT: Duration = Duration::from_secs(8);

pub struct Service {
    identity: Identity,
    sources: Sources,
    metrics: GrpcMetrics,
    watchers: Slots,
    max_watchers: usize,
    /// The encoded response of GetState, and its position.
    state: Mutex<Option<(AsOf, Bytes)>>,
    syncs: RateLimit,
    probes: RateLimit,
    shutdown: CancellationToken,
}

impl Service {
    pub fn new(
        identity: Identity,
        sources: Sources,
        metrics: GrpcMetrics,
        max_watchers: usize,
        shutdown: &CancellationToken,
    ) -> Self {
        let watchers = Slots::new(max_watchers, MAX_WATCHERS_PER_PEER);
        let syncs = RateLimit::new(SYNC_BURST, SYNC_INTERVAL);
        let (probes, shutdown) = (RateLimit::new(PROBE_BURST, PROBE_INTERVAL), shutdown.clone());
        Self { identity, sources, metrics, watchers, max_watchers, state: Mutex::default(), syncs, probes, shutdown }
    }

    fn snapshot(&self) -> ViewSnapshot {
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

    /// The encoded response of GetState, encoded once for each position.
    fn state(&self) -> Bytes {
        let ViewSnapshot { view, as_of } = self.snapshot();
        let mut cached = self.state.lock();
        if let Some((_, bytes)) = cached.as_ref().filter(|(cached, _)| *cached == as_of) {
            return bytes.clone();
        }
        let response = proto::GetStateResponse { state: Some(state(&view)), as_of: Some(as_of.into()) };
        let bytes = Bytes::from(response.encode_to_vec());
        *cached = Some((as_of, bytes.clone()));
        bytes
    }

    fn vpp_info(&self) -> Result<proto::GetVppInfoResponse, Status> {
        let ViewSnapshot { view, .. } = self.snapshot();
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

    fn watch(&self, request: &Request<proto::WatchEventsRequest>) -> Result<ResponseStream, Status> {
        let connection = request.extensions().get::<ConnectionHandle>();
        let expires = connection.map(ConnectionHandle::expires);
        let peer = connection.map_or(Ipv4Addr::UNSPECIFIED.into(), |connection| connection.peer().ip());
        let request = request.get_ref();
        let selection = Selection::from_request(request)?;
        let level = Level::try_from(request.log_level()).unwrap_or(Level::Info);
        let slot = self.watchers.try_acquire(peer).ok_or_else(|| {
            Status::resource_exhausted(format!(
                "the maximum of {} watchers, or of {MAX_WATCHERS_PER_PEER} of one address, is reached",
                self.max_watchers
            ))
        })?;
        let slot = WatcherSlot::new(self.metrics.watchers.clone(), slot);
        let (since, shutdown) = (request.since.map(Into::into), self.shutdown.clone());
        let (events, metrics) = (&self.sources.events, self.metrics.clone());
        let end = StreamEnd { shutdown, expires };
        Ok(Box::pin(Watcher::new(events, level, since, selection, metrics, end, slot).stream()))
    }

    async fn probe_paths(&self, backend: Name) -> Result<proto::ProbePathsResponse, Status> {
        if !self.probes.allow() {
            let seconds = PROBE_INTERVAL.as_secs();
            return Err(Status::resource_exhausted(format!(
                "ProbePaths is limited to one call per {seconds} s; try again later"
            )));
        }
        match tokio::time::timeout(PROBE_TIMEOUT, (self.sources.probe_paths)(backend)).await {
            Ok(found) => {
                let paths = found.iter().map(|(key, health)| path(key, Some(health))).collect();
                Ok(proto::ProbePathsResponse { paths })
            }
            Err(_) => {
                let seconds = PROBE_TIMEOUT.as_secs();
                Err(Status::deadline_exceeded(format!("the probes did not finish within {seconds} s")))
            }
        }
    }

    async fn sync(&self) -> Result<proto::SyncVppLbStateResponse, Status> {
        if !self.syncs.allow() {
            let seconds = SYNC_INTERVAL.as_secs();
            return Err(Status::resource_exhausted(format!(
                "SyncVppLbState is limited to one call per {seconds} s; try again later"
            )));
        }
        match (self.sources.sync)().await {
            Ok(()) => Ok(proto::SyncVppLbStateResponse {}),
            Err(SyncRefusal::NotYet(reason)) => Err(Status::failed_precondition(reason)),
            Err(SyncRefusal::Unavailable(reason)) => Err(Status::unavailable(reason)),
        }
    }
}

fn disconnected() -> Status {
    Status::unavailable("VPP is not connected")
}

type ResponseStream = Pin<Box<dyn Stream<Item = Result<EncodedResponse, Status>> + Send>>;
type RpcResult<T> = Result<Response<T>, Status>;

#[async_trait]
impl Maglev for Service {
    type WatchEventsStream = ResponseStream;

    async fn get_version(&self, _: Request<proto::GetVersionRequest>) -> RpcResult<proto::GetVersionResponse> {
        self.metrics.complete("GetVersion", Ok(self.version()))
    }

    async fn list_frontends(&self, _: Request<proto::ListFrontendsRequest>) -> RpcResult<proto::ListFrontendsResponse> {
        self.metrics.complete("ListFrontends", Ok(self.objects().frontends()))
    }

    async fn get_frontend(&self, request: Request<proto::GetFrontendRequest>) -> RpcResult<proto::GetFrontendResponse> {
        let name = Name::from(&*request.get_ref().name);
        self.metrics.complete("GetFrontend", self.objects().frontend(&name))
    }

    async fn list_backends(&self, _: Request<proto::ListBackendsRequest>) -> RpcResult<proto::ListBackendsResponse> {
        self.metrics.complete("ListBackends", Ok(self.objects().backends()))
    }

    async fn get_backend(&self, request: Request<proto::GetBackendRequest>) -> RpcResult<proto::GetBackendResponse> {
        let name = Name::from(&*request.get_ref().name);
        let probing = (self.sources.probing)(&name);
        self.metrics.complete("GetBackend", self.objects().backend(&name, probing))
    }

    async fn probe_paths(&self, request: Request<proto::ProbePathsRequest>) -> RpcResult<proto::ProbePathsResponse> {
        let result = self.probe_paths(Name::from(&*request.get_ref().backend)).await;
        self.metrics.complete("ProbePaths", result)
    }

    async fn list_health_checks(
        &self,
        _: Request<proto::ListHealthChecksRequest>,
    ) -> RpcResult<proto::ListHealthChecksResponse> {
        self.metrics.complete("ListHealthChecks", Ok(self.objects().health_checks()))
    }

    async fn get_health_check(
        &self,
        request: Request<proto::GetHealthCheckRequest>,
    ) -> RpcResult<proto::GetHealthCheckResponse> {
        let name = Name::from(&*request.get_ref().name);
        self.metrics.complete("GetHealthCheck", self.objects().health_check(&name))
    }

    async fn get_state(&self, _: Request<proto::GetStateRequest>) -> RpcResult<EncodedResponse> {
        self.metrics.complete("GetState", Ok(EncodedResponse::shared(self.state())))
    }

    async fn watch_events(&self, request: Request<proto::WatchEventsRequest>) -> RpcResult<ResponseStream> {
        self.metrics.complete("WatchEvents", self.watch(&request))
    }

    async fn get_vpp_info(&self, _: Request<proto::GetVppInfoRequest>) -> RpcResult<proto::GetVppInfoResponse> {
        self.metrics.complete("GetVppInfo", self.vpp_info())
    }

    async fn get_vpp_lb_state(
        &self,
        _: Request<proto::GetVppLbStateRequest>,
    ) -> RpcResult<proto::GetVppLbStateResponse> {
        let dump = self.sources.dumps.borrow().clone();
        self.metrics.complete("GetVppLbState", dump.as_deref().map(Into::into).ok_or_else(disconnected))
    }

    async fn get_vpp_lb_counters(
        &self,
        _: Request<proto::GetVppLbCountersRequest>,
    ) -> RpcResult<proto::GetVppLbCountersResponse> {
        let counters = self.sources.counters.borrow().clone();
        self.metrics.complete("GetVppLbCounters", counters.as_deref().map(Into::into).ok_or_else(disconnected))
    }

    async fn sync_vpp_lb_state(
        &self,
        _: Request<proto::SyncVppLbStateRequest>,
    ) -> RpcResult<proto::SyncVppLbStateResponse> {
        let result = self.sync().await;
        self.metrics.complete("SyncVppLbState", result)
    }
}
