//! Names of objects: `namespace/name`, cheap to clone and to compare.

use std::{fmt, sync::Arc};

/// The name of an object: `namespace/name`, or `name` for a cluster-scoped object.
///
/// A clone shares the text. Names are ordered by their text; all printed and sent lists are in this order.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// The name of the object `name` in `namespace`.
    pub fn namespaced(namespace: &str, name: &str) -> Self {
        Self(format!("{namespace}/{name}").into())
    }

    /// The name of a cluster-scoped object.
    pub fn cluster(name: &str) -> Self {
        Self(name.into())
    }

    /// The namespace; empty for a cluster-scoped object.
    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The name without its namespace.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(_, name)| name)
    }

    /// `namespace/name` as one text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of another object in the same namespace.
    pub fn sibling(&self, name: &str) -> Self {
        Self::namespaced(self.namespace(), name)
    }
}

impl From<&str> for Name {
    /// Parses a name in the format of [`Name::as_str`].
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_splits_into_namespace_and_name() {
        let name = Name::namespaced("shop", "web");
        assert_eq!((name.namespace(), name.name(), name.as_str()), ("shop", "web", "shop/web"));
        let name = Name::cluster("default");
        assert_eq!((name.namespace(), name.name()), ("", "default"));
        assert_eq!(Name::from("shop/web"), Name::namespaced("shop", "web"));
        assert_eq!(Name::namespaced("shop", "web").sibling("api").as_str(), "shop/api");
    }
}
