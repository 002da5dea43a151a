//! The control socket `DIR/backends.sock`, and the command that uses it.
//!
//! A connection has one request and one response, each a line: `NAME MODE`, `NAME` or an empty line, then `ok TEXT` or
//! `error TEXT`. Line breaks in TEXT are sent as tabs.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};
use tokio_util::sync::CancellationToken;

use super::{DemoBackendError, DemoBackends, Mode};

/// Maximum length of a line in bytes.
const MAX_LINE: u64 = 4096;
/// Time limit for reading a line.
const TIMEOUT: Duration = Duration::from_secs(5);

const EXAMPLE: &str = "\
Example: list the backends, let one fail, and let it recover
  maglev-sandbox backend --dir .demo
  maglev-sandbox backend web-1 fail --dir .demo
  maglev-sandbox backend web-1 ok --dir .demo";

/// Arguments of `maglev-sandbox backend [NAME [MODE]] --dir DIR`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct BackendArgs {
    /// Name of the backend, such as web-1; omit to list all.
    name: Option<String>,
    /// New behaviour; omit to show the current one.
    #[arg(value_enum)]
    mode: Option<Mode>,
    /// Directory that was given to `maglev-sandbox up`.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

impl BackendArgs {
    /// Sends the request to the sandbox in the directory and returns the text to print, such as `web-1: ok → fail`.
    ///
    /// # Errors
    /// [`DemoBackendError::NotRunning`], [`DemoBackendError::Lost`], or [`DemoBackendError::Refused`] with the sandbox's
    /// error message.
    pub async fn run(&self) -> Result<String, DemoBackendError> {
        let name = self.name.as_deref().unwrap_or_default();
        let mode = self.mode.map_or("", Mode::as_str);
        let lost = |source| DemoBackendError::Lost { dir: self.dir.clone(), source };
        let stream = UnixStream::connect(socket_path(&self.dir))
            .await
            .map_err(|_| DemoBackendError::NotRunning { dir: self.dir.clone() })?;
        let request = format!("{name} {mode}\n");
        let response = tokio::time::timeout(TIMEOUT, send(stream, &request));
        let response = response.await.map_err(|late| lost(late.into()))?.map_err(lost)?;
        match response.split_once(' ') {
            Some(("ok", text)) => Ok(text.replace('\t', "\n")),
            Some(("error", text)) => Err(DemoBackendError::Refused(text.to_owned())),
            _ => Err(lost(io::ErrorKind::InvalidData.into())),
        }
    }
}

async fn send(mut stream: UnixStream, request: &str) -> io::Result<String> {
    stream.write_all(request.as_bytes()).await?;
    read_line(&mut stream).await
}

async fn read_line(stream: &mut UnixStream) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(stream.take(MAX_LINE)).read_line(&mut line).await?;
    line.pop().filter(|last| *last == '\n').ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(line)
}

fn socket_path(dir: &Path) -> PathBuf {
    dir.join("backends.sock")
}

/// The server of the control socket.
pub struct Control {
    path: PathBuf,
    listener: UnixListener,
}

impl Control {
    /// Creates the socket. Replaces the socket of a dead sandbox, but not of a running one.
    pub async fn bind(dir: &Path) -> Result<Self, DemoBackendError> {
        let path = socket_path(dir);
        if UnixStream::connect(&path).await.is_ok() {
            return Err(DemoBackendError::AlreadyRunning { dir: dir.to_owned() });
        }
        let fail = |source| DemoBackendError::Control { path: path.clone(), source };
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(fail)?;
        Ok(Self { path, listener })
    }

    /// Handles requests one by one until `shutdown`, then removes the socket.
    pub fn run(self, backends: DemoBackends, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            loop {
                let accepted = tokio::select! {
                    () = shutdown.cancelled() => break,
                    accepted = self.listener.accept() => accepted,
                };
                let Ok((stream, _)) = accepted else { continue };
                // Errors concern this client only.
                let _ = tokio::time::timeout(TIMEOUT, respond(&backends, stream)).await;
            }
            let _ = std::fs::remove_file(&self.path);
        }
        .boxed()
    }
}

async fn respond(backends: &DemoBackends, mut stream: UnixStream) -> io::Result<()> {
    let request = read_line(&mut stream).await?;
    let response = match handle_request(backends, &request) {
        Ok(text) => format!("ok {}\n", text.replace('\n', "\t")),
        Err(error) => format!("error {error}\n"),
    };
    stream.write_all(response.as_bytes()).await
}

fn handle_request(backends: &DemoBackends, request: &str) -> Result<String, DemoBackendError> {
    let mut words = request.split_whitespace();
    match (words.next(), words.next()) {
        (None, _) => Ok(show(backends, |_| true)),
        (Some(name), None) => {
            backends.find(name)?;
            Ok(show(backends, |candidate| candidate == name))
        }
        (Some(name), Some(mode)) => {
            let to = Mode::parse(mode).ok_or_else(|| DemoBackendError::Refused(format!("unknown mode {mode:?}")))?;
            let from = backends.set_mode(name, to)?;
            tracing::info!(backend = name, %from, %to, "demo backend mode changed");
            Ok(format!("{name}: {from} → {to}"))
        }
    }
}

fn show(backends: &DemoBackends, select: impl Fn(&str) -> bool) -> String {
    let line = |(name, address, mode)| format!("{name} {address}: {mode}");
    backends.list().into_iter().filter(|(name, ..)| select(name)).map(line).collect::<Vec<_>>().join("\n")
}
