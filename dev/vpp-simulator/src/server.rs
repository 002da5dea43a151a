//! The API socket: accepts clients, reads frames, passes them to `dispatch` one at a time, and writes the replies.
//!
//! Replies to one client keep the order of its requests. Like in VPP, received requests are executed even if the client has
//! closed the connection since.

use std::{io, path::Path, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, MutexGuard};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, duplex},
    net::UnixListener,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    dispatch::{ConnectionAction, dispatch},
    hang::Hang,
    options::SimulatorOptions,
    stats::StatsServer,
    vpp::SimulatorState,
};
use maglev_vpp::frame::{self, ReadError};

/// Size in bytes at which buffered replies are sent.
const FLUSH: usize = 64 << 10;

/// The connection of a client.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

/// State shared by the simulator's handle and its connections.
#[derive(Debug)]
pub struct Shared {
    state: Mutex<SimulatorState>,
    pub hang: Hang,
}

impl Shared {
    pub fn new(state: SimulatorState) -> Self {
        Self { state: Mutex::new(state), hang: Hang::default() }
    }

    /// The state. The lock cannot be poisoned, so a failed test does not cause further failures.
    pub fn state(&self) -> MutexGuard<'_, SimulatorState> {
        self.state.lock()
    }
}

/// One run of VPP's sockets. Ends when `ended` is cancelled, by the owner or by a crash.
#[derive(Debug)]
pub struct Run {
    pub ended: CancellationToken,
    tasks: TaskTracker,
}

impl Run {
    /// Binds the socket, after creating its directory and removing an old file, and serves it.
    pub fn start(options: &SimulatorOptions, shared: Arc<Shared>) -> io::Result<Self> {
        let socket = &options.api_socket;
        if let Some(directory) = socket.parent() {
            std::fs::create_dir_all(directory)?;
        }
        remove_file(socket)?;
        let (ended, tasks) = (CancellationToken::new(), TaskTracker::new());
        if let Some(path) = &options.stats_socket {
            // Before the API socket, so that both sockets exist once that one does.
            tasks.spawn(StatsServer::bind(path, options.routes)?.run(Arc::clone(&shared), ended.clone()));
        }
        let listener = UnixListener::bind(socket)?;
        tasks.spawn(accept(listener, shared, ended.clone(), tasks.clone()));
        Ok(Self { ended, tasks })
    }

    /// A run without sockets, for [`Self::connect`].
    pub fn in_memory() -> Self {
        Self { ended: CancellationToken::new(), tasks: TaskTracker::new() }
    }

    /// Connects a client in memory.
    pub fn connect(&self, shared: Arc<Shared>) -> DuplexStream {
        let (client, server) = duplex(FLUSH);
        self.tasks.spawn(serve(server, shared, self.ended.clone()));
        client
    }

    /// Waits for the end of the run and of all connections.
    pub async fn finished(&self) {
        self.ended.cancelled().await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Removes a file, if it exists.
pub fn remove_file(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn accept(listener: UnixListener, shared: Arc<Shared>, ended: CancellationToken, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            () = ended.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                tasks.spawn(serve(stream, Arc::clone(&shared), ended.clone()));
            }
            Err(error) => {
                // Out of file descriptors, most likely, which can be temporary.
                tracing::warn!(%error, "cannot accept a client of the simulated VPP");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: impl Stream, shared: Arc<Shared>, ended: CancellationToken) {
    let client = shared.state().vpp.connect();
    if let Some(Err(reason)) = ended.run_until_cancelled(serve_client(stream, &shared, client, &ended)).await {
        tracing::debug!(client, %reason, "the simulated VPP closed the connection of a client");
    }
    if !ended.is_cancelled() {
        shared.state().vpp.disconnect(client);
    }
}

/// Serves one client until it disconnects or sends an invalid frame.
async fn serve_client(
    mut stream: impl Stream,
    shared: &Shared,
    client: u32,
    ended: &CancellationToken,
) -> Result<(), ReadError> {
    let (mut inbox, mut outbox) = (BytesMut::new(), BytesMut::new());
    while let Some(body) = frame::read(&mut stream, &mut inbox).await? {
        let mut next = Some(body);
        while let Some(body) = next {
            shared.hang.ended().await;
            match handle_request(shared, client, &body, &mut outbox, ended) {
                (ConnectionAction::Keep, delay) => send(&mut stream, &mut outbox, delay).await?,
                (ConnectionAction::Close, _) => return Ok(stream.write_all(&outbox).await?),
                (ConnectionAction::Die, _) => return Ok(()),
            }
            next = frame::parse(&mut inbox)?;
        }
        flush(&mut stream, &mut outbox).await?;
    }
    Ok(())
}

/// Sends buffered replies if there are enough of them, or if they are delayed.
async fn send(stream: &mut impl Stream, outbox: &mut BytesMut, delay: Duration) -> io::Result<()> {
    if !delay.is_zero() {
        sleep(delay).await;
    } else if outbox.len() < FLUSH {
        return Ok(());
    }
    flush(stream, outbox).await
}

/// Sends buffered replies. Pending requests of a client that has disconnected are still executed.
async fn flush(stream: &mut impl Stream, outbox: &mut BytesMut) -> io::Result<()> {
    let written = stream.write_all_buf(outbox).await;
    outbox.clear();
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Handles one request under the lock. Also returns the delay of its reply.
fn handle_request(
    shared: &Shared,
    client: u32,
    body: &Bytes,
    outbox: &mut BytesMut,
    ended: &CancellationToken,
) -> (ConnectionAction, Duration) {
    let mut state = shared.state();
    // A request of another connection may have crashed VPP while this one waited for the lock.
    if ended.is_cancelled() {
        return (ConnectionAction::Die, Duration::ZERO);
    }
    state.vpp.catch_up();
    let mut action = dispatch(&mut state, client, body, outbox);
    if state.faults.kills() || state.vpp.lb.has_crashed() {
        action = ConnectionAction::Die;
    }
    if action == ConnectionAction::Die {
        state.running = false;
        ended.cancel();
    }
    (action, state.faults.delay)
}
