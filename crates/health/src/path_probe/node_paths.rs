//! The limit of paths to one Node. All Services share the Nodes as servers: with 1,000 Services of 3 ports on 100 Nodes there are
//! 300,000 paths, which differ in the Services' rules on the Nodes, and not in their tunnels. Only some of them are probed.

use std::collections::HashMap;

use maglev_model::{derived::DerivedName, name::Name, path::PathKey};

/// The number of Frontends whose paths to a Node are probed. Those with mode Require count, and are probed beyond it as well.
pub const FRONTENDS_PER_NODE: usize = 16;

/// The numbers of probed paths by Node.
#[derive(Debug, Default)]
pub struct NodePaths {
    probed: HashMap<Name, usize>,
}

impl NodePaths {
    /// Counts the path if it is to be probed, and returns true then. Always true for a path that is required, or whose backend is
    /// no Node.
    pub fn admit(&mut self, path: &PathKey, required: bool) -> bool {
        if !DerivedName::is_node(&path.backend) {
            return true;
        }
        let probed = self.probed.entry(path.backend.clone()).or_default();
        let is_admitted = required || *probed < FRONTENDS_PER_NODE;
        *probed += usize::from(is_admitted);
        is_admitted
    }

    /// Removes a path that was probed. Returns true if another path to the Node may be probed instead.
    pub fn release(&mut self, backend: &Name) -> bool {
        let Some(probed) = self.probed.get_mut(backend) else { return false };
        *probed -= 1;
        let has_room = *probed < FRONTENDS_PER_NODE;
        if *probed == 0 {
            self.probed.remove(backend);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(frontend: usize) -> PathKey {
        PathKey { frontend: Name::namespaced("shop", &format!("web-{frontend:02}")), backend: Name::cluster("node:w1") }
    }

    #[test]
    fn number_of_paths_to_a_node_is_limited() {
        let mut paths = NodePaths::default();
        let admitted: Vec<usize> = (0..20).filter(|number| paths.admit(&path(*number), false)).collect();
        assert_eq!(admitted, (0..FRONTENDS_PER_NODE).collect::<Vec<_>>());
        assert!(paths.admit(&path(18), true), "a required path is probed");
        let node = &path(0).backend;
        assert!(!paths.release(node), "there is one more than the limit");
        assert!(!paths.admit(&path(17), false));
        assert!(paths.release(node));
        assert!(paths.admit(&path(17), false));
        assert!((0..FRONTENDS_PER_NODE).all(|_| paths.release(node)));
        assert!(paths.probed.is_empty(), "{paths:?}");
    }

    #[test]
    fn backends_have_no_limit() {
        let mut paths = NodePaths::default();
        let path = |number| PathKey { backend: Name::namespaced("shop", "web"), ..path(number) };
        assert!((0..100).all(|number| paths.admit(&path(number), false)));
        assert!(!paths.release(&path(0).backend));
    }
}
