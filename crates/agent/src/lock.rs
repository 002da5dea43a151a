//! The lock that allows one agent per VPP: an flock beside the API socket.
//!
//! The lock is on a file and not on its name. If the file is removed or replaced, another agent can lock the new file, so
//! the holder compares both before it writes to VPP ([`AgentLock::is_current`]).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

/// The lock, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct AgentLock {
    file: Flock<File>,
    path: PathBuf,
}

/// Attempts to lock a file that is replaced at the same time.
const TRIES: usize = 3;

/// Failure to take the lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds the lock.
    #[error("another agent manages this VPP: {} is locked by {holder}", .path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// The holder's description of itself, read from the lock file.
        holder: String,
    },
    /// The file was removed or replaced while it was locked.
    #[error("the lock file {} was removed or replaced, so another agent may manage this VPP", .0.display())]
    Lost(PathBuf),
    /// The file cannot be created or locked.
    #[error("cannot lock {}", .path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl AgentLock {
    /// Tries to take the lock beside `api_socket`, and writes `holder` into the lock file.
    ///
    /// # Errors
    /// [`LockError::Held`] while another process holds the lock; [`LockError::Io`] if the file cannot be created, for
    /// example because the socket's directory is missing; [`LockError::Lost`] if the file is replaced again and again.
    pub fn try_take(api_socket: &Path, holder: &str) -> Result<Self, LockError> {
        let path = api_socket.with_file_name("maglevd.lock");
        for _ in 0..TRIES {
            let lock = Self::lock(path.clone(), holder)?;
            if lock.is_current() {
                return Ok(lock);
            }
        }
        Err(LockError::Lost(path))
    }

    /// True while the lock file has its name: otherwise the lock excludes no other agent.
    pub fn is_current(&self) -> bool {
        let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let (Ok(held), Ok(named)) = (self.file.metadata(), fs::metadata(&self.path)) else { return false };
        id(held) == id(named)
    }

    /// [`LockError::Lost`] unless [`Self::is_current`].
    pub fn check(&self) -> Result<(), LockError> {
        if self.is_current() { Ok(()) } else { Err(LockError::Lost(self.path.clone())) }
    }

    fn lock(path: PathBuf, holder: &str) -> Result<Self, LockError> {
        let fail = |source: io::Error| LockError::Io { path: path.clone(), source };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(fail)?;
        let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).map_err(fail)?;
                return Err(LockError::Held { path, holder: holder.trim().to_owned() });
            }
            Err((_, errno)) => return Err(fail(errno.into())),
        };
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{holder}")).map_err(fail)?;
        Ok(Self { file, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_error_names_the_holder() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("api.sock");
        let first = AgentLock::try_take(&socket, "node-a, process 7").unwrap();
        let second = AgentLock::try_take(&socket, "node-a, process 8").unwrap_err();
        assert!(second.to_string().contains("node-a, process 7"), "{second}");
        drop(first);
        AgentLock::try_take(&socket, "node-a, process 8").unwrap();
    }

    #[test]
    fn lock_is_lost_with_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let (socket, path) = (directory.path().join("api.sock"), directory.path().join("maglevd.lock"));
        let first = AgentLock::try_take(&socket, "first").unwrap();
        assert!(first.is_current());
        fs::remove_file(&path).unwrap();
        assert!(matches!(first.check(), Err(LockError::Lost(lost)) if lost == path));
        let second = AgentLock::try_take(&socket, "second").unwrap();
        assert!(second.is_current() && !first.is_current(), "the first lock does not exclude the second");
        fs::write(directory.path().join("other"), "").unwrap();
        fs::rename(directory.path().join("other"), &path).unwrap();
        assert!(!second.is_current(), "replaced");
    }
}
