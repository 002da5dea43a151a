//! Whom a link talks to, and how it gets there.

use std::{error::Error, fmt, net::SocketAddr, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture};
use tonic::transport::Channel;

use maglev_kube::AgentPod;
use maglev_model::Name;
use maglev_rpc::client::AgentClient;

/// An agent that one can talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its pod; `None` where only an address was given.
    pub pod: Option<Name>,
    /// The pod's `metadata.uid`: another pod on the same node is another target.
    pub uid: Arc<str>,
    /// The Node that it should be on; `None` where only an address was given.
    pub node: Option<Arc<str>>,
    /// Address and port of its gRPC.
    pub address: SocketAddr,
}

impl From<&AgentPod> for Target {
    fn from(pod: &AgentPod) -> Self {
        Self {
            pod: Some(pod.name.clone()),
            uid: Arc::clone(&pod.uid),
            node: Some(Arc::clone(&pod.node)),
            address: (pod.ip, pod.port).into(),
        }
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self { pod: None, uid: "".into(), node: None, address }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pod {
            Some(pod) => write!(f, "{pod} ({})", self.address),
            None => self.address.fmt(f),
        }
    }
}

/// Why a way to an agent could not be opened.
pub type ConnectError = Box<dyn Error + Send + Sync>;

/// Opens the way to an agent.
pub trait Connect: Send + Sync + 'static {
    /// A channel to `target`, connected. The caller limits the time.
    fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Channel, ConnectError>>;
}

/// Straight to the agent's address.
#[derive(Clone, Copy, Debug, Default)]
pub struct Direct;

impl Connect for Direct {
    fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Channel, ConnectError>> {
        async move { Ok(AgentClient::endpoint(format!("http://{}", target.address))?.connect().await?) }.boxed()
    }
}
