//! The API socket: accepts clients, reads frames, hands them to `dispatch` one at a time, writes the
//! replies.
//!
//! Replies to one client go out in the order of its requests. As with VPP, a request that has
//! arrived is carried out even if its client has left since.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::AsyncWriteExt,
    net::{UnixListener, UnixStream},
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    dispatch::{Fate, dispatch},
    stats::StatsServer,
    vpp::World,
};
use maglev_vpp::frame::{self, ReadError};

/// Replies that have gathered are sent when they are this many bytes.
const FLUSH: usize = 64 << 10;

/// What the simulator's handle and its connections share.
#[derive(Debug)]
pub struct Shared {
    world: Mutex<World>,
    /// Until when VPP hangs.
    pub hang: watch::Sender<Option<Instant>>,
}

impl Shared {
    pub fn new(world: World) -> Self {
        Self { world: Mutex::new(world), hang: watch::Sender::new(None) }
    }

    /// The state. A test that failed while it held the lock must not hide behind another failure.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when VPP does not hang (any more).
    pub async fn awake(&self) {
        let mut hang_rx = self.hang.subscribe();
        loop {
            let until = *hang_rx.borrow_and_update();
            let Some(until) = until.filter(|until| *until > Instant::now()) else { return };
            tokio::select! {
                () = sleep_until(until) => {}
                // The sender is in `self`, so it cannot be gone.
                _ = hang_rx.changed() => {}
            }
        }
    }
}

/// One run of VPP's socket. It ends when `ended` is cancelled, by its owner or by VPP's death.
#[derive(Debug)]
pub struct Run {
    pub ended: CancellationToken,
    tasks: TaskTracker,
}

impl Run {
    /// Binds the socket, whose directory is made and whose old file is replaced, and serves it.
    pub fn start(socket: &Path, stats: Option<&Path>, shared: Arc<Shared>) -> io::Result<Self> {
        if let Some(directory) = socket.parent() {
            std::fs::create_dir_all(directory)?;
        }
        remove_file(socket)?;
        let (ended, tasks) = (CancellationToken::new(), TaskTracker::new());
        if let Some(path) = stats {
            // First, so that who reaches the API socket finds this one as well.
            tasks.spawn(StatsServer::bind(path)?.run(Arc::clone(&shared), ended.clone()));
        }
        let listener = UnixListener::bind(socket)?;
        tasks.spawn(accept(listener, shared, ended.clone(), tasks.clone()));
        Ok(Self { ended, tasks })
    }

    /// Returns when it has ended and every connection is closed.
    pub async fn finished(&self) {
        self.ended.cancelled().await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Removes the file if it is there.
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
                // Out of file descriptors, most likely: it may pass.
                tracing::warn!(%error, "simulated vpp cannot accept a client");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: UnixStream, shared: Arc<Shared>, ended: CancellationToken) {
    let client = shared.world().vpp.connect();
    if let Some(Err(reason)) = ended.run_until_cancelled(converse(stream, &shared, client, &ended)).await {
        tracing::debug!(client, %reason, "simulated vpp drops a client");
    }
    if !ended.is_cancelled() {
        shared.world().vpp.disconnect(client);
    }
}

/// Answers one client until it leaves or is no longer to be understood.
async fn converse(
    mut stream: UnixStream,
    shared: &Shared,
    client: u32,
    ended: &CancellationToken,
) -> Result<(), ReadError> {
    let (mut inbox, mut outbox) = (BytesMut::new(), BytesMut::new());
    while let Some(body) = frame::read(&mut stream, &mut inbox).await? {
        let mut next = Some(body);
        while let Some(body) = next {
            shared.awake().await;
            match turn(shared, client, &body, &mut outbox, ended) {
                (Fate::GoOn, delay) => send(&mut stream, &mut outbox, delay).await?,
                (Fate::Close, _) => return Ok(stream.write_all(&outbox).await?),
                (Fate::Die, _) => return Ok(()),
            }
            next = frame::parse(&mut inbox)?;
        }
        flush(&mut stream, &mut outbox).await?;
    }
    Ok(())
}

/// Sends what has gathered, if it is enough or has to wait.
async fn send(stream: &mut UnixStream, outbox: &mut BytesMut, delay: Duration) -> io::Result<()> {
    if !delay.is_zero() {
        sleep(delay).await;
    } else if outbox.len() < FLUSH {
        return Ok(());
    }
    flush(stream, outbox).await
}

/// Sends what has gathered. A client that has left gets no replies, but the requests it left behind
/// are carried out.
async fn flush(stream: &mut UnixStream, outbox: &mut BytesMut) -> io::Result<()> {
    let written = stream.write_all_buf(outbox).await;
    outbox.clear();
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// One request under the lock; also says how long its reply is to be held back.
fn turn(
    shared: &Shared,
    client: u32,
    body: &Bytes,
    outbox: &mut BytesMut,
    ended: &CancellationToken,
) -> (Fate, Duration) {
    let mut world = shared.world();
    // Another connection's request may have killed VPP while this one waited for the lock.
    if ended.is_cancelled() {
        return (Fate::Die, Duration::ZERO);
    }
    world.vpp.catch_up();
    let mut fate = dispatch(&mut world, client, body, outbox);
    if world.faults.kills() || world.vpp.lb.has_crashed() {
        fate = Fate::Die;
    }
    if fate == Fate::Die {
        ended.cancel();
    }
    (fate, world.faults.delay)
}
