//! One agent per VPP: an flock beside the API socket.

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

/// Why the lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("another agent drives this VPP: {} is locked by {holder}", .path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// What the holder wrote into it.
        holder: String,
    },
    /// The file cannot be made or locked.
    #[error("cannot lock {}", .path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl AgentLock {
    /// Tries to take the lock beside `api_socket`, naming the holder as `who`.
    ///
    /// # Errors
    /// [`LockError::Held`] while another process has it; [`LockError::Io`] where the file cannot be
    /// made, as when the socket's directory is missing.
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
    fn a_second_agent_is_told_who_has_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("api.sock");
        let first = AgentLock::try_take(&socket, "node-a, process 7").unwrap();
        let second = AgentLock::try_take(&socket, "node-a, process 8").unwrap_err();
        assert!(second.to_string().contains("node-a, process 7"), "{second}");
        drop(first);
        AgentLock::try_take(&socket, "node-a, process 8").unwrap();
    }
}
