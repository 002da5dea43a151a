//! The name of a namespaced object: `namespace/name`, cheap to clone and to compare.

use std::{fmt, sync::Arc};

/// `namespace/name` of a custom resource, or a bare `name` of a cluster-scoped one.
///
/// Interned: a clone shares the text. Ordered by that text, which is the order of every list we
/// print or send.
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
    /// The name that this text is, as [`Name::as_str`] gives it.
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
    fn a_name_splits_into_namespace_and_name() {
        let name = Name::namespaced("shop", "web");
        assert_eq!((name.namespace(), name.name(), name.as_str()), ("shop", "web", "shop/web"));
        let name = Name::cluster("default");
        assert_eq!((name.namespace(), name.name()), ("", "default"));
        assert_eq!(Name::from("shop/web"), Name::namespaced("shop", "web"));
        assert_eq!(Name::namespaced("shop", "web").sibling("api").as_str(), "shop/api");
    }
}
