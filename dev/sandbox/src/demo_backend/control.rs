//! Toggling backends from outside: the socket `DIR/backends.sock` and the command that talks to it.
//!
//! One line each way, then the connection ends: `NAME MODE`, `NAME` or an empty line is answered by `ok TEXT` or `error TEXT`; `\n` within
//! TEXT travels as `\t`.

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

/// Longest line either side reads, in bytes.
const MAX_LINE: u64 = 4096;
/// How long either side waits for the other's line.
const PATIENCE: Duration = Duration::from_secs(5);

const EXAMPLE: &str = "\
Example: what all of them do, and then one that fails until it is told otherwise
  maglev-sandbox backend --dir .demo
  maglev-sandbox backend web-1 fail --dir .demo
  maglev-sandbox backend web-1 ok --dir .demo";

/// `maglev-sandbox backend [NAME [MODE]] --dir DIR`: shows how backends behave, or changes it.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct BackendArgs {
    /// The backend, such as web-1; without it, all are listed.
    name: Option<String>,
    /// How it shall behave from now on; without it, the present mode is shown.
    #[arg(value_enum)]
    mode: Option<Mode>,
    /// The directory given to `maglev-sandbox up`.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

impl BackendArgs {
    /// Asks the sandbox running in the directory and returns the text to print, such as `web-1: ok → fail`.
    ///
    /// # Errors
    /// [`DemoBackendError::NotRunning`], [`DemoBackendError::Lost`], or [`DemoBackendError::Refused`] with the sandbox's own words, which
    /// for an unknown name list the known ones.
    pub async fn run(&self) -> Result<String, DemoBackendError> {
        let name = self.name.as_deref().unwrap_or_default();
        let mode = self.mode.map_or("", Mode::as_str);
        let lost = |source| DemoBackendError::Lost { dir: self.dir.clone(), source };
        let stream = UnixStream::connect(socket_path(&self.dir))
            .await
            .map_err(|_| DemoBackendError::NotRunning { dir: self.dir.clone() })?;
        let request = format!("{name} {mode}\n");
        let answer = tokio::time::timeout(PATIENCE, ask(stream, &request));
        let answer = answer.await.map_err(|late| lost(late.into()))?.map_err(lost)?;
        match answer.split_once(' ') {
            Some(("ok", text)) => Ok(text.replace('\t', "\n")),
            Some(("error", text)) => Err(DemoBackendError::Refused(text.to_owned())),
            _ => Err(lost(io::ErrorKind::InvalidData.into())),
        }
    }
}

async fn ask(mut stream: UnixStream, request: &str) -> io::Result<String> {
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

/// The listening side.
pub struct Control {
    path: PathBuf,
    listener: UnixListener,
}

impl Control {
    /// Makes the socket; one left behind by a dead sandbox is replaced, a live one is not.
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

    /// Answers one request after the other until `shutdown`, then removes the socket.
    pub fn run(self, backends: DemoBackends, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            loop {
                let accepted = tokio::select! {
                    () = shutdown.cancelled() => break,
                    accepted = self.listener.accept() => accepted,
                };
                let Ok((stream, _)) = accepted else { continue };
                // A client that is silent or gone has lost nothing but its own answer.
                let _ = tokio::time::timeout(PATIENCE, answer(&backends, stream)).await;
            }
            let _ = std::fs::remove_file(&self.path);
        }
        .boxed()
    }
}

async fn answer(backends: &DemoBackends, mut stream: UnixStream) -> io::Result<()> {
    let request = read_line(&mut stream).await?;
    let answer = match decide(backends, &request) {
        Ok(text) => format!("ok {}\n", text.replace('\n', "\t")),
        Err(error) => format!("error {error}\n"),
    };
    stream.write_all(answer.as_bytes()).await
}

fn decide(backends: &DemoBackends, request: &str) -> Result<String, DemoBackendError> {
    let mut words = request.split_whitespace();
    match (words.next(), words.next()) {
        (None, _) => Ok(show(backends, |_| true)),
        (Some(name), None) => {
            backends.find(name)?;
            Ok(show(backends, |candidate| candidate == name))
        }
        (Some(name), Some(mode)) => {
            let to = Mode::parse(mode).ok_or_else(|| DemoBackendError::Refused(format!("no mode {mode:?}")))?;
            let from = backends.set_mode(name, to)?;
            tracing::info!(backend = name, %from, %to, "demo backend toggled");
            Ok(format!("{name}: {from} → {to}"))
        }
    }
}

fn show(backends: &DemoBackends, wanted: impl Fn(&str) -> bool) -> String {
    let line = |(name, address, mode)| format!("{name} {address}: {mode}");
    backends.list().into_iter().filter(|(name, ..)| wanted(name)).map(line).collect::<Vec<_>>().join("\n")
}
