//! Address of an agent, and the interface of connecting to it.

use std::{fmt, net::SocketAddr, sync::Arc};

use futures::future::BoxFuture;

use super::Error;
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
    /// Address and port of the gRPC server without TLS.
    pub address: SocketAddr,
    /// Address and port of the gRPC server with TLS, if the agent has one.
    pub tls_address: Option<SocketAddr>,
    /// Other pods that are the agent of the same node. With any, none of the pods is connected to.
    pub others: Vec<Name>,
}

impl AgentTarget {
    /// # Errors
    /// Several pods are the agent of the node.
    pub fn ensure_only(&self) -> Result<(), Error> {
        if self.others.is_empty() {
            return Ok(());
        }
        let pods: Vec<_> = self.pod.iter().chain(&self.others).map(ToString::to_string).collect();
        Err(Error::SeveralAgents { pods: pods.join(" and ") })
    }
}

impl From<&AgentPod> for AgentTarget {
    fn from(pod: &AgentPod) -> Self {
        Self {
            pod: Some(pod.name.clone()),
            uid: Arc::clone(&pod.uid),
            node: Some(Arc::clone(&pod.node)),
            address: (pod.ip, pod.port).into(),
            tls_address: pod.tls_port.map(|port| (pod.ip, port).into()),
            others: Vec::new(),
        }
    }
}

impl From<SocketAddr> for AgentTarget {
    fn from(address: SocketAddr) -> Self {
        Self { pod: None, uid: "".into(), node: None, address, tls_address: None, others: Vec::new() }
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

pub type ConnectError = Box<dyn std::error::Error + Send + Sync>;

/// Connects to agents.
pub trait Connect: Send + Sync + 'static {
    /// Returns a connected client. The caller limits the time.
    fn connect<'a>(&'a self, target: &'a AgentTarget) -> BoxFuture<'a, Result<AgentClient, ConnectError>>;
}
