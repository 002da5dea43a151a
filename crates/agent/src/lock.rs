//! The lock that allows one agent per VPP: an flock beside the API socket.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

/// The lock, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct AgentLock {
    _file: Flock<File>,
}

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
    /// example because the socket's directory is missing.
    pub fn try_take(api_socket: &Path, holder: &str) -> Result<Self, LockError> {
        let path = api_socket.with_file_name("maglevd.lock");
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
        Ok(Self { _file: file })
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
}
