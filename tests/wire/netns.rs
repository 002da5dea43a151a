//! Namespaces for tests that need links, routes, capabilities or mounts of their own.

pub use maglev_testkit::netns::{OtherNamespace, inside, inside_mount_namespace, ip, sysctl};
