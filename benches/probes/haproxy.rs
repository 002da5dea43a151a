//! A HAProxy process that checks the same backends.

use std::{
    fmt::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::ensure;

use crate::{
    backends::{NAME, address},
    kubernetes::{Objects, Scheme},
    process::Child,
};

/// The version of the installed HAProxy. Installs Debian's package if HAProxy is missing. The error is a human-readable
/// reason.
pub fn version() -> Result<String, String> {
    if let Some(version) = installed() {
        return Ok(version);
    }
    if !nix::unistd::geteuid().is_root() {
        return Err("HAProxy is not installed; run as root, or: apt-get install haproxy".to_owned());
    }
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "--no-install-recommends", "haproxy"]).env("DEBIAN_FRONTEND", "noninteractive");
    match install.stdin(Stdio::null()).stdout(Stdio::null()).status() {
        Ok(status) if status.success() => {
            installed().ok_or_else(|| "HAProxy was installed, but cannot be run".to_owned())
        }
        Ok(status) => Err(format!("cannot install HAProxy: apt-get {status}")),
        Err(error) => Err(format!("HAProxy is not installed, and cannot run apt-get: {error}")),
    }
}

fn installed() -> Option<String> {
    let output = Command::new("haproxy").arg("-v").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next()?.split_whitespace().nth(2).map(str::to_owned)
}

/// Starts HAProxy with one thread on the core `core`.
pub fn start(objects: &Objects, directory: &Path, core: usize) -> anyhow::Result<Child> {
    let file = directory.join("haproxy.cfg");
    std::fs::write(&file, config(objects, directory))?;
    let check = Command::new("haproxy").arg("-c").arg("-f").arg(&file).output()?;
    ensure!(check.status.success(), "haproxy -c failed: {}", String::from_utf8_lossy(&check.stderr));
    let mut command = Child::command_on(core, "haproxy");
    command.arg("-db").arg("-f").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Child::spawn(command)
}

fn config(objects: &Objects, directory: &Path) -> String {
    let tls = match objects.scheme {
        Scheme::Http => String::new(),
        // A full handshake for each check, as maglevd does: a resumed session verifies no certificate.
        Scheme::Https => format!(
            " check-ssl check-sni {NAME} no-ssl-reuse verify required verifyhost {NAME} ca-file {}",
            directory.join("ca.crt").display()
        ),
    };
    // HAProxy does not start without a listener.
    let socket = directory.join("haproxy.sock");
    let mut text = format!(
        "global
  nbthread 1
  spread-checks 10
  maxconn 100
defaults
  mode http
  timeout connect 1s
  timeout check 1s
  timeout server 1s
  timeout client 1s
frontend none
  bind unix@{}
  default_backend all
backend all
  option httpchk
  http-check send meth GET uri /healthz ver HTTP/1.1 hdr host backends
  http-check expect status 200-399
",
        socket.display()
    );
    for number in 0..objects.backends {
        let (address, port) = (address(number), objects.port);
        let _ = writeln!(text, "  server s{number} {address}:{port} check inter 1s rise 2 fall 3{tls}");
    }
    text
}
