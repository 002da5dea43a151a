//! The load-balancer nodes of `up`.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::directory::Directory;
use super::output;
use crate::SandboxError;
use crate::control_plane::ControlPlane;
use crate::node::{Node, NodeOptions};
use crate::packets::PodNetwork;
use crate::processes::Processes;

/// Name and address of a node: `node-a` is number 1 on 127.0.1.1.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    pub name: String,
    pub address: Ipv4Addr,
    number: u8,
}

impl NodeSpec {
    /// The first `count` nodes; at most 26.
    pub fn all(count: u8) -> Vec<Self> {
        let spec = |(number, letter)| Self {
            name: format!("node-{}", char::from(letter)),
            address: Ipv4Addr::new(127, 0, 1, number),
            number,
        };
        (1..=count).zip(b'a'..=b'z').map(spec).collect()
    }

    /// The number, from 1.
    pub fn number(&self) -> u8 {
        self.number
    }
}

/// All running nodes.
#[derive(Debug)]
pub struct Nodes {
    nodes: Vec<Node>,
    shutdown: DropGuard,
}

impl Nodes {
    /// Starts the nodes. `pods` is the network of pods, if they have one.
    pub async fn start(
        directory: &Directory,
        specs: &[NodeSpec],
        binaries: &Path,
        plane: &ControlPlane,
        processes: &Processes,
        pods: Option<&Arc<PodNetwork>>,
    ) -> Result<Self, SandboxError> {
        let shutdown = CancellationToken::new();
        let mut started = Self { nodes: Vec::new(), shutdown: shutdown.clone().drop_guard() };
        for spec in specs {
            output::print(&format!("starting {} on {}…", spec.name, spec.address));
            let options = NodeOptions::new(plane, directory.path(), processes, &spec.name, spec.number).await?;
            let options = NodeOptions { binaries: binaries.to_owned(), network: pods.cloned(), ..options };
            started.nodes.push(Node::start(options, shutdown.clone()).await?);
        }
        Ok(started)
    }

    /// Stops all pods and nodes.
    pub async fn stop(self) {
        drop(self.shutdown);
        for node in &self.nodes {
            node.stopped().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_have_distinct_names_and_addresses() {
        let names: Vec<_> = NodeSpec::all(3).iter().map(|node| format!("{} {}", node.name, node.address)).collect();
        assert_eq!(names, ["node-a 127.0.1.1", "node-b 127.0.1.2", "node-c 127.0.1.3"]);
    }
}
