//! Direct connections to agents: TLS and token where the agent has TLS, as before where it has not.

use std::{net::SocketAddr, path::Path, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture};
use maglev_auth::{Authorities, ClientTls, TokenSource, agent_name};
use maglev_net::{LogThrottle, error_chain};
use prometheus::Registry;
use tokio::net::TcpStream;

use super::{
    error::{Error, is_not_trusted},
    target::{AgentTarget, Connect, ConnectError},
};
use maglev_rpc::client::{AgentClient, connect_tls};

/// Security of connections to agents. The default is none.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// TLS with agents that have a port with TLS; `None` connects to the other port.
    pub tls: Option<Arc<ClientTls>>,
    /// The token that agents get, only over TLS.
    pub token: TokenSource,
    /// Agents of which only one address is known have TLS there.
    pub assume_tls: bool,
    /// Connects without TLS and token to an agent whose certificate is not trusted, while certificates are introduced.
    pub plain_fallback: bool,
}

impl Security {
    /// Security of connections to the agents in `namespace`, with files that may change: the authorities of the agents'
    /// certificates, without which there is no TLS, and the token.
    ///
    /// # Errors
    /// The agents of `namespace` cannot have a certificate.
    pub fn from_files(namespace: &str, authorities: Option<&Path>, token: Option<&Path>) -> Result<Self, Error> {
        let authorities = authorities.map(|path| Authorities::File(path.to_owned()));
        let tls = authorities.map(|authorities| ClientTls::new(authorities, &agent_name(namespace))).transpose();
        let tls = tls.map_err(|_| Error::Namespace { namespace: namespace.to_owned() })?;
        let token = token.map_or_else(TokenSource::default, TokenSource::file);
        Ok(Self { tls: tls.map(Arc::new), token, ..Self::default() })
    }

    /// Registers `maglev_tls_authority_expiry_timestamp_seconds`, if the authorities are in a file.
    ///
    /// # Errors
    /// If the metric is already registered.
    pub fn register(&self, registry: &Registry) -> Result<(), Error> {
        let name = "maglev_tls_authority_expiry_timestamp_seconds";
        let rejected = |source| Error::Metric { name, source };
        self.tls.as_ref().map_or(Ok(()), |tls| tls.register(registry).map_err(rejected))
    }
}

/// Connects directly to the agent's address.
#[derive(Debug, Default)]
pub struct Direct {
    security: Security,
    throttle: LogThrottle,
}

impl Direct {
    /// Connections with this security.
    pub fn new(security: Security) -> Self {
        Self { security, throttle: LogThrottle::default() }
    }

    /// The address of the agent that is connected to first.
    pub fn address(&self, target: &AgentTarget) -> SocketAddr {
        self.encrypted(target).map_or(target.address, |(_, address)| address)
    }

    fn encrypted(&self, target: &AgentTarget) -> Option<(&Arc<ClientTls>, SocketAddr)> {
        let assumed = || self.security.assume_tls.then_some(target.address);
        Some((self.security.tls.as_ref()?, target.tls_address.or_else(assumed)?))
    }

    async fn connect_tls(&self, tls: &Arc<ClientTls>, address: SocketAddr) -> Result<AgentClient, ConnectError> {
        let endpoint = AgentClient::endpoint(format!("http://{address}"))?;
        let open = move || async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let channel = connect_tls(endpoint, Arc::clone(tls), open).await?;
        Ok(AgentClient::with_token(channel, self.security.token.clone()))
    }

    async fn connect_agent(&self, target: &AgentTarget) -> Result<AgentClient, ConnectError> {
        if let Some((tls, address)) = self.encrypted(target) {
            match self.connect_tls(tls, address).await {
                Err(error) if self.security.plain_fallback && is_not_trusted(&*error) => {
                    if let Some(suppressed) = self.throttle.admit(&target.to_string()) {
                        let error = error_chain(&*error);
                        tracing::warn!(agent = %target, error, suppressed, "connecting without TLS");
                    }
                }
                connected => return connected,
            }
        }
        let endpoint = AgentClient::endpoint(format!("http://{}", target.address))?;
        Ok(AgentClient::new(endpoint.connect().await?))
    }
}

impl Connect for Direct {
    fn connect<'a>(&'a self, target: &'a AgentTarget) -> BoxFuture<'a, Result<AgentClient, ConnectError>> {
        self.connect_agent(target).boxed()
    }
}
