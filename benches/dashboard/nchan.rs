//! nginx with nchan: one channel whose subscribers receive Server-Sent Events.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Mutex,
};

use crate::server::{Server, free_address};

const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

/// Installs Debian's package if nchan is missing. The error is a human-readable reason.
pub fn install() -> Result<(), String> {
    if Path::new(MODULE).exists() {
        return Ok(());
    }
    if !nix::unistd::geteuid().is_root() {
        return Err("not installed; run as root, or: apt-get install libnginx-mod-nchan".to_owned());
    }
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "--no-install-recommends", "nginx-core", "libnginx-mod-nchan"]);
    install.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).stdout(Stdio::null());
    match install.status() {
        Ok(status) if status.success() && Path::new(MODULE).exists() => Ok(()),
        Ok(status) => Err(format!("cannot install it: apt-get {status}")),
        Err(error) => Err(format!("not installed, and cannot run apt-get: {error}")),
    }
}

/// nginx and a connection for publishing.
pub struct Nchan {
    server: Server,
    publisher: Mutex<TcpStream>,
    _directory: tempfile::TempDir,
}

impl Nchan {
    pub async fn start() -> anyhow::Result<Self> {
        let (directory, address) = (tempfile::tempdir()?, free_address()?);
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, config(directory.path(), address))?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(directory.path()).arg("-c").arg(&file).args(["-g", "daemon off;"]);
        let server = Server::start(command, address, "/subscribe", address)?;
        server.wait_for(address, "/ready", "ready").await?;
        let publisher = Mutex::new(TcpStream::connect(address).await?);
        Ok(Self { server, publisher, _directory: directory })
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Sends a message to all subscribers.
    pub async fn publish(&self, message: &str) -> anyhow::Result<()> {
        let mut stream = self.publisher.lock().await;
        let head = format!("POST /publish HTTP/1.1\r\nHost: bench\r\nContent-Length: {}\r\n\r\n", message.len());
        stream.write_all((head + message).as_bytes()).await?;
        let mut response = vec![0; 4096];
        let read = stream.read(&mut response).await?;
        let response = String::from_utf8_lossy(&response[..read]).into_owned();
        ensure!(response.starts_with("HTTP/1.1 20"), "nginx responded to /publish: {response}");
        response.split_once("\r\n\r\n").context("the head of nginx's response is not complete").map(drop)
    }
}

fn config(directory: &Path, address: SocketAddr) -> String {
    let directory = directory.display();
    format!(
        "load_module {MODULE};
user root;
worker_processes auto;
worker_rlimit_nofile 20000;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 10000; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  keepalive_requests 1000000000;
  server {{
    listen {address};
    location = /ready {{ return 200 ready; }}
    location = /publish {{ nchan_publisher; nchan_channel_id all; nchan_message_buffer_length 2000; nchan_message_timeout 30s; }}
    location = /subscribe {{
      nchan_subscriber eventsource;
      nchan_channel_id all;
      nchan_subscriber_first_message newest;
    }}
  }}
}}
"
    )
}
