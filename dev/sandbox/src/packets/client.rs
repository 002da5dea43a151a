//! The script `DIR/bin/client`, which runs a command in the network namespace of the clients.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path};

use super::Namespace;

/// Writes the script.
///
/// # Errors
/// The file cannot be written.
pub fn write_script(path: &Path, namespace: &Namespace) -> io::Result<()> {
    fs::write(path, script(namespace.name()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn script(namespace: &str) -> String {
    format!(
        r#"#!/bin/sh
# Runs a command in the network namespace of the sandbox's clients, from which the VIPs can be reached.
if [ $# -eq 0 ]; then
  echo "Usage: client COMMAND [ARGUMENT]...   such as: client curl http://203.0.113.10/" >&2
  exit 2
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "client: only root can enter the network namespace {namespace}" >&2
  exit 1
fi
exec ip netns exec {namespace} "$@"
"#
    )
}
