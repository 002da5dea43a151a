//! The addresses of all Nodes. No Frontend may have one of them: VPP would take the node's own traffic.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use super::object::NodeObject;

/// The InternalIP addresses of all Nodes.
#[derive(Debug, Default)]
pub struct NodeAddresses {
    addresses: HashMap<String, BTreeSet<IpAddr>>,
    /// The names of the Nodes with each address.
    nodes: HashMap<IpAddr, BTreeSet<String>>,
}

impl NodeAddresses {
    /// Applies a stored Node. Returns the addresses that are new or gone.
    pub fn apply(&mut self, node: &NodeObject) -> BTreeSet<IpAddr> {
        self.replace(&node.name, node.addresses.iter().copied().collect())
    }

    /// Removes a deleted Node. Returns its addresses.
    pub fn delete(&mut self, node: &str) -> BTreeSet<IpAddr> {
        self.replace(node, BTreeSet::new())
    }

    fn replace(&mut self, node: &str, new: BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        let old = self.addresses.remove(node).unwrap_or_default();
        for address in old.difference(&new) {
            if let Some(nodes) = self.nodes.get_mut(address) {
                nodes.remove(node);
                if nodes.is_empty() {
                    self.nodes.remove(address);
                }
            }
        }
        for address in new.difference(&old) {
            self.nodes.entry(*address).or_default().insert(node.to_owned());
        }
        let changed = old.symmetric_difference(&new).copied().collect();
        if !new.is_empty() {
            self.addresses.insert(node.to_owned(), new);
        }
        changed
    }

    /// The addresses of all Nodes.
    pub fn all(&self) -> impl Iterator<Item = IpAddr> {
        self.nodes.keys().copied()
    }

    /// The Node with `address`; the first by name if there are several.
    pub fn node(&self, address: IpAddr) -> Option<&str> {
        self.nodes.get(&address)?.first().map(String::as_str)
    }
}
