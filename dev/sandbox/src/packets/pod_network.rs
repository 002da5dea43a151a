//! The network of the pods: a namespace for each pod with its address, and the Service proxies of the nodes, through which
//! packets from tunnels reach the pods.
//!
//! ```text
//!  VPP ──GRE──▶ node: decapsulation ─▶ Service proxy ─▶ tun of a pod
//!                                           ▲               │
//!  client ◀─────── direct return ───────────┴───────────────┘
//! ```
//!
//! Only packets to Services reach a pod, and only answers to them leave it.

use std::{collections::HashMap, io, net::Ipv4Addr, path::PathBuf, sync::Arc, time::Instant};

use futures::StreamExt as _;
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client};
use parking_lot::RwLock;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tun_rs::AsyncDevice;

use super::header::destination;
use super::namespace::Namespace;
use super::node_tunnels::NodeAnswers;
use super::router::BUFFER;
use super::service_proxy::ServiceProxy;
use super::service_rules::Rules;
use super::{DEVICE, PacketsError, open_device};

/// The network of all pods.
pub struct PodNetwork {
    /// The sandbox's directory.
    dir: PathBuf,
    client: Arc<AsyncDevice>,
    answers: Option<Arc<NodeAnswers>>,
    proxy: ServiceProxy,
    pods: RwLock<HashMap<Ipv4Addr, Arc<AsyncDevice>>>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

/// The namespace of one pod.
pub struct PodLink {
    namespace: Namespace,
    address: Ipv4Addr,
    network: Arc<PodNetwork>,
    /// Ends the task that takes the pod's packets.
    stop: DropGuard,
}

impl PodNetwork {
    pub(super) fn new(
        dir: PathBuf,
        client: Arc<AsyncDevice>,
        answers: Option<Arc<NodeAnswers>>,
        shutdown: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        let (proxy, pods) = (ServiceProxy::default(), RwLock::default());
        Self { dir, client, answers, proxy, pods, shutdown, tasks }
    }

    /// Lets the Service proxies follow the Services and EndpointSlices of a cluster.
    pub fn follow_services(self: &Arc<Self>, client: &Client) {
        let (network, client) = (Arc::clone(self), client.clone());
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            shutdown.run_until_cancelled(network.follow(client)).await;
        });
    }

    async fn follow(self: Arc<Self>, client: Client) {
        let config = watcher::Config::default;
        let (services, services_writer) = reflector::store();
        let (slices, slices_writer) = reflector::store();
        let watched_services = watcher(Api::<Service>::all(client.clone()), config());
        let watched_slices = watcher(Api::<EndpointSlice>::all(client), config());
        let mut services_changed = reflector(services_writer, watched_services).default_backoff().boxed();
        let mut slices_changed = reflector(slices_writer, watched_slices).default_backoff().boxed();
        loop {
            let event = tokio::select! {
                event = services_changed.next() => event.map(|event| event.map(drop)),
                event = slices_changed.next() => event.map(|event| event.map(drop)),
            };
            match event {
                Some(Ok(())) => {
                    let (services, slices) = (services.state(), slices.state());
                    let rules = Rules::new(services.iter().map(Arc::as_ref), slices.iter().map(Arc::as_ref));
                    self.proxy.set_rules(rules);
                }
                // The watch starts again after a pause.
                Some(Err(error)) => tracing::debug!(%error, "watching Services failed"),
                None => return,
            }
        }
    }

    /// Creates the namespace of a pod with this address. Replaces one that was left.
    ///
    /// # Errors
    /// A step failed. What remains is removed at the next attempt or by the end of the sandbox.
    pub async fn attach(self: &Arc<Self>, address: Ipv4Addr) -> Result<PodLink, PacketsError> {
        let namespace = Namespace::pod(&self.dir, address);
        let created = namespace.clone();
        blocking(move || created.create_again()).await?;
        let device = Arc::new(open_device(&namespace).await?);
        let configured = namespace.clone();
        // Segments leave room for GRE, as on backends.
        let commands = format!("address add {address}/32 dev {DEVICE}\nroute add 0.0.0.0/0 dev {DEVICE} advmss 1416\n");
        blocking(move || configured.configure(&commands)).await?;
        let stop = self.shutdown.child_token();
        self.pods.write().insert(address, Arc::clone(&device));
        let (network, stopped) = (Arc::clone(self), stop.clone());
        self.tasks.spawn(async move {
            if let Some(Err(error)) = stopped.run_until_cancelled(network.take_answers(&device)).await {
                tracing::warn!(%address, %error, "the tun device of a pod has failed");
            }
        });
        Ok(PodLink { namespace, address, network: Arc::clone(self), stop: stop.drop_guard() })
    }

    /// Passes a packet from a tunnel through the Service proxy of `node` to a pod. Returns false if it was not delivered.
    pub(super) async fn deliver(&self, node: &Arc<str>, packet: &[u8]) -> bool {
        let Some((pod, packet)) = self.proxy.forward(node, packet, Instant::now()) else { return false };
        let device = self.pods.read().get(&pod).cloned();
        match device {
            Some(device) => device.send(&packet).await.is_ok(),
            None => false,
        }
    }

    /// Returns a pod's answers to the clients and agents.
    async fn take_answers(&self, device: &AsyncDevice) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let length = device.recv(&mut buffer).await?;
            let packet = &buffer[..length];
            // IPv6 sends multicast packets of its own.
            if destination(packet).is_none_or(|address| address.is_multicast()) {
                continue;
            }
            let Some(answer) = self.proxy.answer(packet) else { continue };
            if !self.answers.as_ref().is_some_and(|answers| answers.deliver(&answer)) {
                self.client.send(&answer).await?;
            }
        }
    }
}

impl PodLink {
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Removes the namespace, after the end of the pod's processes.
    pub async fn detach(self) {
        let Self { namespace, address, network, stop } = self;
        network.pods.write().remove(&address);
        network.proxy.forget(address);
        drop(stop);
        if let Err(error) = blocking(move || namespace.delete()).await {
            tracing::warn!(%address, %error, "cannot remove the network namespace of a pod");
        }
    }
}

async fn blocking(task: impl FnOnce() -> Result<(), PacketsError> + Send + 'static) -> Result<(), PacketsError> {
    // The task is cancelled only if the runtime stops.
    tokio::task::spawn_blocking(task).await.unwrap_or(Ok(()))
}
