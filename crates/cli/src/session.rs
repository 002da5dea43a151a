//! Whom commands talk to: the API server and the agents, each found when it is first needed and kept.
//!
//! In the shell the agents stay connected and mirrored between commands, so that only the first one waits.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::ListParams};
use tokio::{
    sync::OnceCell,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{flags::Flags, forward::PortForward};
use maglev_fleet::{Connect, Direct, Fleet, FleetHandle, FleetOptions, Link, NodeState, Source};
use maglev_kube::{ClientOptions, Delays, SELECTOR, client};
use maglev_model::Name;
use maglev_rpc::client::AgentClient;

/// How long agents may take to answer before a command goes on without them.
const SETTLE: Duration = Duration::from_secs(10);
/// How long the API server may take.
const API: Duration = Duration::from_secs(15);
/// How long a way to one agent may take to open.
const CONNECT: Duration = Duration::from_secs(10);

/// The API server and the agents.
pub struct Session {
    flags: Flags,
    kube: OnceCell<Client>,
    agents: OnceCell<Agents>,
}

/// The agents, followed.
struct Agents {
    handle: FleetHandle,
    connector: Arc<dyn Connect>,
    _end: DropGuard,
}

impl Session {
    /// As these flags say; nobody is asked yet.
    pub fn new(flags: Flags) -> Self {
        Self { flags, kube: OnceCell::new(), agents: OnceCell::new() }
    }

    /// The API server's client.
    pub async fn kube(&self) -> anyhow::Result<&Client> {
        let Flags { kubeconfig, context, .. } = &self.flags;
        let options = ClientOptions { kubeconfig: kubeconfig.clone(), context: context.clone() };
        self.kube.get_or_try_init(async || Ok(client::client(options).await?)).await
    }

    /// The API server's client, unless agents were named by their addresses.
    pub async fn kube_unless_server(&self) -> Option<&Client> {
        if self.flags.server.is_empty() { self.kube().await.ok() } else { None }
    }

    /// The namespace of names without one; `given` is that of the line.
    pub async fn namespace(&self, given: Option<&str>) -> String {
        match (given, self.kube_unless_server().await) {
            (Some(namespace), _) => namespace.to_owned(),
            (None, Some(client)) => client.default_namespace().to_owned(),
            (None, None) => "default".to_owned(),
        }
    }

    /// The object that a person means by `text`.
    pub async fn name(&self, text: &str, namespace: Option<&str>) -> Name {
        match text.split_once('/') {
            Some((namespace, name)) => Name::namespaced(namespace, name),
            None => Name::namespaced(&self.namespace(namespace).await, text),
        }
    }

    /// The mirror of all agents, connected as far as they can be.
    pub async fn fleet(&self) -> anyhow::Result<&FleetHandle> {
        let agents = self.agents().await?;
        settled(&agents.handle).await;
        Ok(&agents.handle)
    }

    /// The mirror as it is, without waiting for anybody; `None` before a command has asked.
    pub fn known(&self) -> Option<&FleetHandle> {
        self.agents.get().map(|agents| &agents.handle)
    }

    /// Every node, or the one that was asked for, connected as far as they can be.
    ///
    /// # Errors
    /// If no agent is found, or none of that name.
    pub async fn nodes(&self, only: Option<&str>) -> anyhow::Result<Vec<NodeState>> {
        let mut nodes = self.fleet().await?.nodes();
        if nodes.is_empty() {
            bail!("there are no agents: {}", self.looked_for());
        }
        let Some(only) = only else { return Ok(nodes) };
        let there = nodes.iter().map(|of| &*of.node).collect::<Vec<_>>().join(", ");
        nodes.retain(|of| &*of.node == only);
        if nodes.is_empty() {
            bail!("there is no node {only}: there is {there}");
        }
        Ok(nodes)
    }

    /// A client of this node's agent.
    pub async fn agent(&self, node: &NodeState) -> anyhow::Result<AgentClient> {
        let connector = &self.agents().await?.connector;
        let channel = timeout(CONNECT, connector.connect(&node.target)).await;
        let channel = channel.with_context(|| format!("no connection within {} s", CONNECT.as_secs()))?;
        Ok(AgentClient::new(channel.map_err(|err| anyhow::anyhow!(err))?))
    }

    async fn agents(&self) -> anyhow::Result<&Agents> {
        self.agents.get_or_try_init(async || self.find().await).await
    }

    async fn find(&self) -> anyhow::Result<Agents> {
        let (source, connector): (Source, Arc<dyn Connect>) = if self.flags.server.is_empty() {
            let client = self.kube().await?.clone();
            let namespace = self.flags.agent_namespace.clone();
            self.may_look(&client, namespace.as_deref()).await?;
            let connector = Arc::new(PortForward::new(client.clone()));
            (Source::Pods { client, namespace, delays: Delays::default() }, connector)
        } else {
            (Source::Addresses(addresses(&self.flags.server).await?), Arc::new(Direct))
        };
        let options = FleetOptions { connector: Arc::clone(&connector), ..FleetOptions::default() };
        let (fleet, end) = (Fleet::new(source, options), CancellationToken::new());
        let handle = fleet.handle();
        tokio::spawn(fleet.run(end.clone()));
        Ok(Agents { handle, connector, _end: end.drop_guard() })
    }

    /// Asks once for what the watch asks for again and again, so that a refusal is told at once.
    async fn may_look(&self, client: &Client, namespace: Option<&str>) -> anyhow::Result<()> {
        let pods: Api<Pod> = match namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        };
        let asked = timeout(API, pods.list_metadata(&ListParams::default().labels(SELECTOR).limit(1))).await;
        let answer = asked.with_context(|| format!("the API server did not answer within {} s", API.as_secs()))?;
        answer.map(drop).with_context(|| format!("cannot look for agents: {}", self.looked_for()))
    }

    fn looked_for(&self) -> String {
        let place = match (&self.flags.agent_namespace, &*self.flags.server) {
            (_, [_, ..]) => return format!("{} did not answer", self.flags.server.join(", ")),
            (Some(namespace), []) => format!("in namespace {namespace} (--agent-namespace)"),
            (None, []) => "in all namespaces".to_owned(),
        };
        format!("looked for pods labelled {SELECTOR} {place}")
    }
}

/// Waits until every agent has answered or failed to, at most for [`SETTLE`].
async fn settled(handle: &FleetHandle) {
    let (mut updates, mut discovered) = (handle.subscribe(), handle.discovered());
    let until = Instant::now() + SETTLE;
    if !matches!(timeout_at(until, discovered.wait_for(|known| *known)).await, Ok(Ok(_))) {
        return;
    }
    while handle.nodes().iter().any(|node| node.link == Link::Connecting) {
        if !matches!(timeout_at(until, updates.next()).await, Ok(Some(_))) {
            return;
        }
    }
}

async fn addresses(servers: &[String]) -> anyhow::Result<Vec<SocketAddr>> {
    let mut found = Vec::new();
    for server in servers {
        let mut resolved = tokio::net::lookup_host(server).await.with_context(|| format!("--server {server}"))?;
        found.push(resolved.next().with_context(|| format!("--server {server} has no address"))?);
    }
    Ok(found)
}
