//! The network namespace that probes are sent from, where it is not the process's own.

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

/// Where `ip netns` keeps the named ones.
const NAMED: &str = "/run/netns";

/// A network namespace by its name, as `ip netns` shows it, or by a path with a slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkNamespace(PathBuf);

impl From<&str> for NetworkNamespace {
    fn from(name: &str) -> Self {
        // A path, even a relative one, stays as it is; `join` takes an absolute one for all of it.
        Self(if name.contains('/') { PathBuf::from(name) } else { Path::new(NAMED).join(name) })
    }
}

impl NetworkNamespace {
    /// Moves the calling thread, and no other, into it.
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
    fn a_name_is_one_of_ip_netns_and_anything_with_a_slash_a_path() {
        let path = |text: &str| NetworkNamespace::from(text).0;
        assert_eq!(path("dataplane"), Path::new("/run/netns/dataplane"));
        assert_eq!(path("/proc/7/ns/net"), Path::new("/proc/7/ns/net"));
        assert_eq!(path("./ns"), Path::new("./ns"));
    }

    #[test]
    fn what_is_no_namespace_is_told_from_what_is_not_there() {
        let error = |text: &str| NetworkNamespace::from(text).enter().unwrap_err();
        assert!(matches!(error("/nonexistent/ns"), Error::NoNamespace { path } if path == "/nonexistent/ns"));
        let file = tempfile::NamedTempFile::new().unwrap();
        let plain = file.path().to_str().unwrap();
        assert!(matches!(error(plain), Error::NotANamespace { path } if path == plain));
    }
}
