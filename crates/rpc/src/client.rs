//! The client of an agent, in types of the model. Used by `fleet` and `cli`.
//!
//! To keep a mirror without a gap, call [`AgentClient::state`], then [`AgentClient::watch`] since its `as_of`. Apply
//! the change of each line whose number is above that, and fetch the state again if [`LineBatch::resync`] is set.

mod detail;
mod error;
mod tls;
mod watch;

use std::{sync::Arc, time::Duration};

use maglev_auth::TokenSource;
use secrecy::ExposeSecret as _;
use tonic::{
    Code, Request, Response, Status,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

pub use self::{
    detail::{AgentVersion, BackendDetail, FrontendDetail, VppDetail},
    error::ClientError,
    tls::connect_tls,
    watch::{EventStream, LineBatch, WatchRequest},
};
pub use super::convert::Line;
use super::{
    Malformed,
    convert::{read_counters, read_dump, read_paths, read_state},
    proto::{self, maglev_client::MaglevClient},
};
use maglev_model::{
    Name,
    actual::LbDump,
    counters::StatsSnapshot,
    path::{PathHealth, PathKey},
};
use maglev_telemetry::ViewSnapshot;

/// Limit of a message in bytes: more than ten times the state of a node with 10,000 backends.
pub const MESSAGE_LIMIT: usize = 64 << 20;

/// Timeout of a call, except for streams.
const DEADLINE: Duration = Duration::from_secs(10);

/// The client of one agent. Clones share the connection.
#[derive(Clone, Debug)]
pub struct AgentClient {
    calls: MaglevClient<InterceptedService<Channel, Bearer>>,
    token: TokenSource,
}

/// Adds the token to each call.
#[derive(Clone, Debug)]
struct Bearer(TokenSource);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = self.0.authorization().and_then(|value| MetadataValue::try_from(value.expose_secret()).ok());
        if let Some(mut value) = value {
            value.set_sensitive(true);
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

type RpcResult<T> = Result<Response<T>, Status>;

impl AgentClient {
    /// A client over any channel, without a token. The channel should have keep-alive, as [`AgentClient::endpoint`] sets
    /// it.
    pub fn new(channel: Channel) -> Self {
        Self::with_token(channel, TokenSource::default())
    }

    /// A client that presents a token. The channel must be encrypted and the agent's identity verified.
    pub fn with_token(channel: Channel, token: TokenSource) -> Self {
        let calls = MaglevClient::with_interceptor(channel, Bearer(token.clone()));
        Self { calls: calls.max_decoding_message_size(MESSAGE_LIMIT), token }
    }

    /// Endpoint of an agent at `uri`, with keep-alive, so that a lost node is detected.
    ///
    /// # Errors
    /// `uri` is not a valid URI.
    pub fn endpoint(uri: impl Into<String>) -> Result<tonic::transport::Endpoint, tonic::transport::Error> {
        Ok(tonic::transport::Endpoint::from_shared(uri.into())?
            .connect_timeout(Duration::from_secs(5))
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true)
            .tcp_nodelay(true))
    }

    /// The agent's identity and readiness.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn version(&self) -> Result<AgentVersion, ClientError> {
        let response = self.calls.clone().get_version(request(proto::GetVersionRequest {})).await;
        self.read("GetVersion", response, AgentVersion::try_from)
    }

    /// The agent's complete state and its position in the event stream.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn state(&self) -> Result<ViewSnapshot, ClientError> {
        let response = self.calls.clone().get_state(request(proto::GetStateRequest {})).await;
        self.read("GetState", response, |state| {
            let as_of = state.as_of.ok_or(Malformed::missing("as_of"))?.into();
            let view = read_state(state.state.ok_or(Malformed::missing("state"))?)?;
            Ok(ViewSnapshot { view, as_of })
        })
    }

    /// Follows events.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn watch(&self, watch: WatchRequest) -> Result<EventStream, ClientError> {
        let response = self.calls.clone().watch_events(Request::new(watch.into())).await;
        self.read("WatchEvents", response, |stream| Ok(EventStream::new(stream)))
    }

    /// State of VPP's lb plugin at its last reading, including buckets. `Unavailable` without VPP.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn lb_state(&self) -> Result<LbDump, ClientError> {
        let response = self.calls.clone().get_vpp_lb_state(request(proto::GetVppLbStateRequest {})).await;
        self.read("GetVppLbState", response, read_dump)
    }

    /// VPP's counters. `Unavailable` without VPP.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn lb_counters(&self) -> Result<Arc<StatsSnapshot>, ClientError> {
        let response = self.calls.clone().get_vpp_lb_counters(request(proto::GetVppLbCountersRequest {})).await;
        self.read("GetVppLbCounters", response, read_counters)
    }

    /// The VPP that the agent is connected to. `Unavailable` without VPP.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn vpp_info(&self) -> Result<VppDetail, ClientError> {
        let response = self.calls.clone().get_vpp_info(request(proto::GetVppInfoRequest {})).await;
        self.read("GetVppInfo", response, VppDetail::try_from)
    }

    /// A Backend's health and the progress of its probes. `NotFound` for an unknown name.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn backend(&self, name: &Name) -> Result<BackendDetail, ClientError> {
        let message = proto::GetBackendRequest { name: name.to_string() };
        self.read("GetBackend", self.calls.clone().get_backend(request(message)).await, BackendDetail::try_from)
    }

    /// A Frontend's state, report and weights. `NotFound` for an unknown name.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn frontend(&self, name: &Name) -> Result<FrontendDetail, ClientError> {
        let message = proto::GetFrontendRequest { name: name.to_string() };
        self.read("GetFrontend", self.calls.clone().get_frontend(request(message)).await, FrontendDetail::try_from)
    }

    /// Probes the paths to a Backend now and returns what these probes found, sorted by Frontend. Empty if no path to it is
    /// probed. Takes about 4 s.
    ///
    /// # Errors
    /// [`ClientError`]; `Unimplemented` from an agent of an older release.
    pub async fn probe_paths(&self, backend: &Name) -> Result<Vec<(PathKey, PathHealth)>, ClientError> {
        let message = proto::ProbePathsRequest { backend: backend.to_string() };
        let response = self.calls.clone().probe_paths(request(message)).await;
        self.read("ProbePaths", response, |response| read_paths(response.paths))
    }

    /// Makes the agent read VPP and repair differences now.
    ///
    /// # Errors
    /// [`ClientError`], if the agent refuses.
    pub async fn sync_now(&self) -> Result<(), ClientError> {
        let message = proto::SyncVppLbStateRequest {};
        self.read("SyncVppLbState", self.calls.clone().sync_vpp_lb_state(request(message)).await, |_| Ok(()))
    }

    fn read<M, T>(
        &self,
        rpc: &'static str,
        response: RpcResult<M>,
        read: impl FnOnce(M) -> Result<T, Malformed>,
    ) -> Result<T, ClientError> {
        match response {
            Ok(response) => read(response.into_inner()).map_err(|source| ClientError::Malformed { rpc, source }),
            Err(status) => Err(ClientError::status(rpc, self.explain(status))),
        }
    }

    /// Adds the reason why the call had no token to the agent's refusal.
    fn explain(&self, status: Status) -> Status {
        let problem = (status.code() == Code::Unauthenticated).then(|| self.token.problem()).flatten();
        match problem {
            Some(problem) => Status::unauthenticated(format!("{problem} (the agent's answer: {})", status.message())),
            None => status,
        }
    }
}

fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(DEADLINE);
    request
}
