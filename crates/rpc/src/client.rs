//! The client of an agent, in terms of the model. Used by `fleet` and `cli`.
//!
//! A mirror without a gap: [`AgentClient::state`], then [`AgentClient::watch`] since its `as_of`; fold the change of
//! each line whose number is above that, and fetch the state anew when [`Followed::resync`] says so.

mod detail;
mod error;
mod watch;

use std::{sync::Arc, time::Duration};

use tonic::{Request, Response, Status, transport::Channel};

pub use self::{
    detail::{AgentVersion, BackendDetail, FrontendDetail, VppDetail},
    error::ClientError,
    watch::{Followed, Watch, WatchRequest},
};
pub use super::convert::Line;
use super::{
    Malformed,
    convert::{read_counters, read_dump, read_state},
    proto::{self, maglev_client::MaglevClient},
};
use maglev_model::{Name, actual::LbDump, counters::StatsSnapshot};
use maglev_telemetry::Snapshot;

/// Fits the state of a node with 10,000 backends more than ten times.
pub const MESSAGE_LIMIT: usize = 64 << 20;

/// How long an answer may take, streams apart.
const DEADLINE: Duration = Duration::from_secs(10);

/// The client of one agent. A clone shares the connection.
#[derive(Clone, Debug)]
pub struct AgentClient(MaglevClient<Channel>);

type Answer<T> = Result<Response<T>, Status>;

impl AgentClient {
    /// A client over this channel, which may be to an address or through any other transport. Set keep-alive there:
    /// [`AgentClient::endpoint`] does.
    pub fn new(channel: Channel) -> Self {
        Self(MaglevClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT))
    }

    /// How to connect to an agent at `uri`: with keep-alive, so that a node that vanished is noticed.
    ///
    /// # Errors
    /// `uri` is none.
    pub fn endpoint(uri: impl Into<String>) -> Result<tonic::transport::Endpoint, tonic::transport::Error> {
        Ok(tonic::transport::Endpoint::from_shared(uri.into())?
            .connect_timeout(Duration::from_secs(5))
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true)
            .tcp_nodelay(true))
    }

    /// Who the agent is, and whether it does its job.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn version(&self) -> Result<AgentVersion, ClientError> {
        let answer = self.0.clone().get_version(request(proto::GetVersionRequest {})).await;
        taken("GetVersion", answer, AgentVersion::try_from)
    }

    /// The agent's state, and which events are in it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn state(&self) -> Result<Snapshot, ClientError> {
        let answer = self.0.clone().get_state(request(proto::GetStateRequest {})).await;
        taken("GetState", answer, |answer| {
            let as_of = answer.as_of.ok_or(Malformed::missing("as_of"))?.into();
            let view = read_state(answer.state.ok_or(Malformed::missing("state"))?)?;
            Ok(Snapshot { view, as_of })
        })
    }

    /// Follows what happens.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn watch(&self, watch: WatchRequest) -> Result<Watch, ClientError> {
        let answer = self.0.clone().watch_events(Request::new(watch.into())).await;
        taken("WatchEvents", answer, |stream| Ok(Watch::new(stream)))
    }

    /// What VPP's lb plugin had when it was last read, buckets included. `Unavailable` without VPP.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn lb_state(&self) -> Result<LbDump, ClientError> {
        let answer = self.0.clone().get_vpp_lb_state(request(proto::GetVppLbStateRequest {})).await;
        taken("GetVppLbState", answer, read_dump)
    }

    /// What VPP has counted. `Unavailable` without VPP.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn lb_counters(&self) -> Result<Arc<StatsSnapshot>, ClientError> {
        let answer = self.0.clone().get_vpp_lb_counters(request(proto::GetVppLbCountersRequest {})).await;
        taken("GetVppLbCounters", answer, read_counters)
    }

    /// Which VPP the agent is connected to. `Unavailable` without VPP.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn vpp_info(&self) -> Result<VppDetail, ClientError> {
        let answer = self.0.clone().get_vpp_info(request(proto::GetVppInfoRequest {})).await;
        taken("GetVppInfo", answer, VppDetail::try_from)
    }

    /// A Backend's health, and how its probing goes. `NotFound` for an unknown one.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn backend(&self, name: &Name) -> Result<BackendDetail, ClientError> {
        let asked = proto::GetBackendRequest { name: name.to_string() };
        taken("GetBackend", self.0.clone().get_backend(request(asked)).await, BackendDetail::try_from)
    }

    /// A Frontend's state, report and weights. `NotFound` for an unknown one.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn frontend(&self, name: &Name) -> Result<FrontendDetail, ClientError> {
        let asked = proto::GetFrontendRequest { name: name.to_string() };
        taken("GetFrontend", self.0.clone().get_frontend(request(asked)).await, FrontendDetail::try_from)
    }

    /// Has the agent read VPP and repair it now; `accept` is a hold to end.
    ///
    /// # Errors
    /// [`ClientError`], if the agent refuses.
    pub async fn sync_now(&self, accept: Option<&str>) -> Result<(), ClientError> {
        let asked = proto::SyncVppLbStateRequest { accept_removals: accept.unwrap_or_default().to_owned() };
        taken("SyncVppLbState", self.0.clone().sync_vpp_lb_state(request(asked)).await, |_| Ok(()))
    }
}

fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(DEADLINE);
    request
}

fn taken<M, T>(
    rpc: &'static str,
    answer: Answer<M>,
    read: impl FnOnce(M) -> Result<T, Malformed>,
) -> Result<T, ClientError> {
    match answer {
        Ok(answer) => read(answer.into_inner()).map_err(|source| ClientError::Malformed { rpc, source }),
        Err(status) => Err(ClientError::status(rpc, status)),
    }
}
