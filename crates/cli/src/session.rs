//! Connections to the API server and the agents, opened on first use.
//!
//! In the shell the connections stay open and the fleet's state stays mirrored between commands, so that only the first
//! command waits.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};
use kube::Client;
use tokio::{
    sync::OnceCell,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    agent_access::{AgentAccess, Role},
    flags::Flags,
};
use maglev_fleet::{Error as FleetError, Fleet, FleetHandle, FleetOptions, LinkState, NodeState, Source};
use maglev_kube::{ClientOptions, Delays, SELECTOR, agent_namespaces, client};
use maglev_model::Name;
use maglev_rpc::client::AgentClient;

/// Time limit for the first reading of VPP's counters.
const FIRST_READING: Duration = Duration::from_secs(2);
/// Time limit for connecting to the agents; a command continues without the agents that do not respond.
const SETTLE: Duration = Duration::from_secs(10);
/// Time limit for a request to the API server.
const API: Duration = Duration::from_secs(15);
/// Time limit for a connection to one agent.
const CONNECT: Duration = Duration::from_secs(10);

pub struct Session {
    flags: Flags,
    kube: OnceCell<Client>,
    agents: OnceCell<Agents>,
}

struct Agents {
    handle: FleetHandle,
    access: AgentAccess,
    _end: DropGuard,
}

impl Session {
    /// A session without connections.
    pub fn new(flags: Flags) -> Self {
        Self { flags, kube: OnceCell::new(), agents: OnceCell::new() }
    }

    /// The client of the API server.
    pub async fn kube(&self) -> anyhow::Result<&Client> {
        let Flags { kubeconfig, context, .. } = &self.flags;
        let options =
            ClientOptions { kubeconfig: kubeconfig.clone(), context: context.clone(), ..ClientOptions::default() };
        self.kube.get_or_try_init(async || Ok(client::client(options).await?)).await
    }

    /// The client of the API server; `None` with `--server`, or without a usable kubeconfig.
    pub async fn kube_unless_server(&self) -> Option<&Client> {
        if self.flags.server.is_empty() { self.kube().await.ok() } else { None }
    }

    /// The namespace of names without a namespace; `flag` is the line's `--namespace`.
    pub async fn namespace(&self, flag: Option<&str>) -> String {
        match (flag, self.kube_unless_server().await) {
            (Some(namespace), _) => namespace.to_owned(),
            (None, Some(client)) => client.default_namespace().to_owned(),
            (None, None) => "default".to_owned(),
        }
    }

    /// Parses `text`: `namespace/name`, a name, or the name of a derived Backend.
    pub async fn name(&self, text: &str, namespace: Option<&str>) -> Name {
        match text.split_once('/') {
            None if text.starts_with("node:") => Name::from(text),
            Some((namespace, name)) => Name::namespaced(namespace, name),
            None => Name::namespaced(&self.namespace(namespace).await, text),
        }
    }

    /// The state of all agents, after waiting for their connections.
    pub async fn fleet(&self) -> anyhow::Result<&FleetHandle> {
        let agents = self.agents().await?;
        wait_for_agents(&agents.handle).await;
        Ok(&agents.handle)
    }

    /// The state of all agents without waiting; `None` before the first call of [`Self::fleet`].
    pub fn fleet_if_started(&self) -> Option<&FleetHandle> {
        self.agents.get().map(|agents| &agents.handle)
    }

    /// All nodes or, with `only`, the node of that name, after waiting for their connections.
    ///
    /// # Errors
    /// No agents were found, or none on the node `only`.
    pub async fn nodes(&self, only: Option<&str>) -> anyhow::Result<Vec<NodeState>> {
        let mut nodes = self.fleet().await?.nodes();
        if nodes.is_empty() {
            bail!("no agents found: {}", self.search());
        }
        let Some(only) = only else { return Ok(nodes) };
        let existing = nodes.iter().map(|node| &*node.node).collect::<Vec<_>>().join(", ");
        nodes.retain(|node| &*node.node == only);
        if nodes.is_empty() {
            bail!("no agent found on node {only}: nodes with an agent are {existing}");
        }
        Ok(nodes)
    }

    /// Like [`Self::nodes`], after a reading of the counters of each node that has VPP.
    ///
    /// # Errors
    /// See [`Self::nodes`].
    pub async fn nodes_with_counters(&self, only: Option<&str>) -> anyhow::Result<Vec<NodeState>> {
        let handle = self.fleet().await?;
        wait_for_counters(handle, &|| handle.nodes()).await;
        self.nodes(only).await
    }

    /// Connects to the agent of this node.
    pub async fn agent(&self, node: &NodeState, role: Role) -> anyhow::Result<AgentClient> {
        node.target.ensure_only()?;
        let connector = self.agents().await?.access.connector(role);
        let connected = timeout(CONNECT, connector.connect(&node.target)).await;
        let connected = connected.with_context(|| format!("no connection within {} s", CONNECT.as_secs()))?;
        Ok(connected.map_err(FleetError::Connect)?)
    }

    async fn agents(&self) -> anyhow::Result<&Agents> {
        self.agents.get_or_try_init(async || self.connect().await).await
    }

    async fn connect(&self) -> anyhow::Result<Agents> {
        let (source, access) = if self.flags.server.is_empty() {
            let client = self.kube().await?.clone();
            let namespace = self.agent_namespace(&client).await?;
            let access = AgentAccess::by_port_forward(client.clone(), &namespace);
            (Source::Pods { client, namespace, delays: Delays::default() }, access)
        } else {
            (Source::Addresses(addresses(&self.flags.server).await?), AgentAccess::direct(&self.flags)?)
        };
        let connector = access.connector(Role::Viewer);
        let options = FleetOptions { connector, ..FleetOptions::default() };
        let (fleet, end) = (Fleet::new(source, options), CancellationToken::new());
        let handle = fleet.handle();
        tokio::spawn(fleet.run(end.clone()));
        Ok(Agents { handle, access, _end: end.drop_guard() })
    }

    /// The namespace of the agents: that of the flag, or the only one in which a DaemonSet has them. Agents of another
    /// namespace are not used. Lists the pods once, because the watch retries errors without reporting them.
    async fn agent_namespace(&self, client: &Client) -> anyhow::Result<String> {
        let flag = self.flags.agent_namespace.clone();
        let response = timeout(API, agent_namespaces(client, flag.as_deref())).await;
        let namespaces =
            response.with_context(|| format!("the API server did not respond within {} s", API.as_secs()))?;
        let namespaces = namespaces.with_context(|| format!("cannot list the agents' pods: {}", self.search()))?;
        let mut namespaces = namespaces.into_iter();
        match (flag, namespaces.next(), namespaces.next()) {
            (Some(namespace), ..) | (None, Some(namespace), None) => Ok(namespace),
            (None, None, _) => bail!("no agents found: {}", self.search()),
            (None, Some(first), Some(second)) => {
                let all: Vec<String> = [first, second].into_iter().chain(namespaces).collect();
                bail!(
                    "agents found in several namespaces: {}; name that of your release with --agent-namespace",
                    all.join(", ")
                )
            }
        }
    }

    /// The search for agents, for error messages.
    fn search(&self) -> String {
        let scope = match (&self.flags.agent_namespace, &*self.flags.server) {
            (_, [_, ..]) => return format!("no response from {}", self.flags.server.join(", ")),
            (Some(namespace), []) => format!("in namespace {namespace} (--agent-namespace)"),
            (None, []) => "in all namespaces".to_owned(),
        };
        format!("searched for pods of a DaemonSet with the labels {SELECTOR} {scope}")
    }
}

/// Waits until no connection is pending, at most for [`SETTLE`].
async fn wait_for_agents(handle: &FleetHandle) {
    let (mut updates, mut discovered) = (handle.subscribe(), handle.discovered());
    let until = Instant::now() + SETTLE;
    if !matches!(timeout_at(until, discovered.wait_for(|discovered| *discovered)).await, Ok(Ok(_))) {
        return;
    }
    while handle.nodes().iter().any(|node| node.link == LinkState::Connecting) {
        if !matches!(timeout_at(until, updates.next()).await, Ok(Some(_))) {
            return;
        }
    }
}

/// Waits for a reading of the counters of each node that has VPP, at most for [`FIRST_READING`].
pub async fn wait_for_counters(handle: &FleetHandle, nodes: &impl Fn() -> Vec<NodeState>) {
    let (mut updates, until) = (handle.subscribe(), Instant::now() + FIRST_READING);
    let is_waiting = |node: &NodeState| node.reporting() && node.view.vpp.is_some() && node.counters.is_none();
    while nodes().iter().any(is_waiting) && timeout_at(until, updates.next()).await.is_ok_and(|update| update.is_some())
    {
    }
}

async fn addresses(servers: &[String]) -> anyhow::Result<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for server in servers {
        let mut resolved = tokio::net::lookup_host(server).await.with_context(|| format!("--server {server}"))?;
        addresses.push(resolved.next().with_context(|| format!("--server {server} has no address"))?);
    }
    Ok(addresses)
}
