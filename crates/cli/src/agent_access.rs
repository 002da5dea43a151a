//! The way to the agents, and the identity that they see: never the user's own.
//!
//! Through the API server, the agents see a token of the ServiceAccount `maglevc-viewer` or `maglevc-operator`, which the
//! API server issues for ten minutes if the user may request it. Its audit log has the user.

use std::sync::Arc;

use anyhow::Context as _;
use kube::Client;
use tokio::sync::OnceCell;

use super::{flags::Flags, forward::PortForward};
use maglev_auth::{Authorities, ClientTls, SharedToken, TokenSource, agent_name};
use maglev_fleet::{Connect, Direct, Security};
use maglev_kube::agent_tokens::{agent_authorities, agent_token};

/// The permissions that a command needs on agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reading.
    Viewer,
    /// Requests of syncs.
    Operator,
}

impl Role {
    /// The ServiceAccount with these permissions.
    fn account(self) -> &'static str {
        match self {
            Self::Viewer => "maglevc-viewer",
            Self::Operator => "maglevc-operator",
        }
    }
}

/// Connections to the agents.
pub enum AgentAccess {
    /// To the addresses of `--server`.
    Direct(Arc<dyn Connect>),
    /// Through the API server.
    PortForward(Arc<AgentCredentials>),
}

/// The credentials of connections through the API server to agents with TLS, once they were requested.
pub struct AgentCredentials {
    client: Client,
    namespace: String,
    tls: OnceCell<Result<Arc<ClientTls>, String>>,
    viewer: OnceCell<SharedToken>,
    operator: OnceCell<SharedToken>,
}

impl AgentAccess {
    /// # Errors
    /// A flag is missing or cannot be used.
    pub fn direct(flags: &Flags) -> anyhow::Result<Self> {
        let mut security = Security::default();
        if let Some(path) = &flags.agent_ca_file {
            let namespace = flags.agent_namespace.as_deref();
            let namespace = namespace
                .context("--agent-ca-file requires --agent-namespace, which is part of the name in the certificate")?;
            let from_files = Security::from_files(namespace, Some(path), flags.agent_token_file.as_deref());
            security = Security { assume_tls: true, ..from_files.context("cannot use --agent-namespace")? };
        } else if flags.agent_token_file.is_some() {
            anyhow::bail!(
                "--agent-token-file requires --agent-ca-file: a token is sent only to agents with a trusted certificate"
            );
        }
        Ok(Self::Direct(Arc::new(Direct::new(security))))
    }

    /// Access to the agents in `namespace`, without a request.
    pub fn by_port_forward(client: Client, namespace: &str) -> Self {
        let (tls, viewer, operator) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        let namespace = namespace.to_owned();
        Self::PortForward(Arc::new(AgentCredentials { client, namespace, tls, viewer, operator }))
    }

    /// The connector for commands that need `role`.
    pub fn connector(&self, role: Role) -> Arc<dyn Connect> {
        match self {
            Self::Direct(connector) => Arc::clone(connector),
            Self::PortForward(credentials) => Arc::new(PortForward::new(Arc::clone(credentials), role)),
        }
    }
}

impl AgentCredentials {
    /// The client of the API server.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// TLS and the token for `role`, requested at the first call; instead of TLS, the reason why there is none.
    pub async fn get(&self, role: Role) -> (Result<Arc<ClientTls>, String>, TokenSource) {
        let cell = if role == Role::Viewer { &self.viewer } else { &self.operator };
        let (tls, token_rx) = tokio::join!(
            self.tls.get_or_init(async || self.tls().await),
            cell.get_or_init(async || agent_token(self.client.clone(), &self.namespace, role.account()).await),
        );
        (tls.clone(), TokenSource::shared(token_rx.clone()))
    }

    async fn tls(&self) -> Result<Arc<ClientTls>, String> {
        let pem = agent_authorities(self.client.clone(), &self.namespace).await?;
        let pem = pem.ok_or_else(|| {
            format!(
                "ConfigMap maglev-ca with the authorities of the agents' certificates not found in namespace {}",
                self.namespace
            )
        })?;
        let tls = ClientTls::new(Authorities::Pem(pem), &agent_name(&self.namespace));
        tls.map(Arc::new)
            .map_err(|error| format!("the namespace {} cannot be part of a DNS name: {error}", self.namespace))
    }
}
