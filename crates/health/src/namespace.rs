//! The network namespace that probes are sent from, if it differs from the process's own.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    sched::{CloneFlags, setns},
};

use super::Error;

/// The directory in which `ip netns` keeps named namespaces.
const NAMED_DIRECTORY: &str = "/run/netns";

/// A network namespace: the name that `ip netns` shows, or a path, which contains a slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkNamespace(PathBuf);

impl From<&str> for NetworkNamespace {
    fn from(name: &str) -> Self {
        Self(if name.contains('/') { PathBuf::from(name) } else { Path::new(NAMED_DIRECTORY).join(name) })
    }
}

impl NetworkNamespace {
    /// Moves the calling thread, but no other thread, into the namespace.
    pub(crate) fn enter(&self) -> Result<(), Error> {
        let path = || self.0.display().to_string();
        let file = File::open(&self.0).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::NoNamespace { path: path() },
            _ => Error::Namespace { path: path(), source },
        })?;
        setns(file, CloneFlags::CLONE_NEWNET).map_err(|errno| match errno {
            Errno::EPERM => Error::NamespaceForbidden { path: path() },
            Errno::EINVAL => Error::NotANamespace { path: path() },
            other => Error::Namespace { path: path(), source: other.into() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_a_slash_is_a_path_and_any_other_a_name_of_ip_netns() {
        let path = |text: &str| NetworkNamespace::from(text).0;
        assert_eq!(path("dataplane"), Path::new("/run/netns/dataplane"));
        assert_eq!(path("/proc/7/ns/net"), Path::new("/proc/7/ns/net"));
        assert_eq!(path("./ns"), Path::new("./ns"));
    }

    #[test]
    fn a_missing_file_and_a_file_that_is_no_namespace_are_different_errors() {
        let error = |text: &str| NetworkNamespace::from(text).enter().unwrap_err();
        assert!(matches!(error("/nonexistent/ns"), Error::NoNamespace { path } if path == "/nonexistent/ns"));
        let file = tempfile::NamedTempFile::new().unwrap();
        let plain = file.path().to_str().unwrap();
        assert!(matches!(error(plain), Error::NotANamespace { path } if path == plain));
    }
}
