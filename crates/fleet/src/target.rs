//! Address of an agent, and the way to connect to it.

use std::{error::Error, fmt, net::SocketAddr, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture};
use tonic::transport::Channel;

use maglev_kube::AgentPod;
use maglev_model::Name;
use maglev_rpc::client::AgentClient;

/// An agent that a link connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentTarget {
    /// `None` if only an address is known.
    pub pod: Option<Name>,
    /// `metadata.uid` of the pod: another pod on the same node is another target.
    pub uid: Arc<str>,
    /// Name of the Node; `None` if only an address is known.
    pub node: Option<Arc<str>>,
    /// Address and port of the gRPC server.
    pub address: SocketAddr,
}

impl From<&AgentPod> for AgentTarget {
    fn from(pod: &AgentPod) -> Self {
        Self {
            pod: Some(pod.name.clone()),
            uid: Arc::clone(&pod.uid),
            node: Some(Arc::clone(&pod.node)),
            address: (pod.ip, pod.port).into(),
        }
    }
}

impl From<SocketAddr> for AgentTarget {
    fn from(address: SocketAddr) -> Self {
        Self { pod: None, uid: "".into(), node: None, address }
    }
}

impl fmt::Display for AgentTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pod {
            Some(pod) => write!(f, "{pod} ({})", self.address),
            None => self.address.fmt(f),
        }
    }
}

pub type ConnectError = Box<dyn Error + Send + Sync>;

/// Connects to agents.
pub trait Connect: Send + Sync + 'static {
    /// Returns a connected channel. The caller limits the time.
    fn connect<'a>(&'a self, target: &'a AgentTarget) -> BoxFuture<'a, Result<Channel, ConnectError>>;
}

/// Connects directly to the agent's address.
#[derive(Clone, Copy, Debug, Default)]
pub struct Direct;

impl Connect for Direct {
    fn connect<'a>(&'a self, target: &'a AgentTarget) -> BoxFuture<'a, Result<Channel, ConnectError>> {
        async move { Ok(AgentClient::endpoint(format!("http://{}", target.address))?.connect().await?) }.boxed()
    }
}
