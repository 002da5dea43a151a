//! A socket between an agent and VPP that records the arrival times of requests. Runs on its own threads, so that it
//! does not compete with the agent's tasks.

use std::{
    io::{Read, Write},
    net::IpAddr,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Instant,
};

use anyhow::Context as _;
use bytes::BytesMut;
use maglev_vpp::{
    frame,
    messages::{self, Signature, lb::LbAsSetWeight},
};
use parking_lot::Mutex;
use tokio::{sync::oneshot, task::spawn_blocking};

use crate::raw;

type Expected = Arc<Mutex<Option<Requests>>>;

/// Expected requests that set the weight of one application server, each for another VIP.
struct Requests {
    server: IpAddr,
    count: usize,
    arrivals: Vec<Instant>,
    done_tx: oneshot::Sender<Vec<Instant>>,
}

/// A tap for one agent, which connects once. Its threads end when the agent or VPP closes the connection.
pub struct ProbeTap {
    socket: PathBuf,
    expected: Expected,
}

impl ProbeTap {
    /// Listens at `socket` for an agent whose VPP is at `vpp`.
    pub async fn start(socket: &Path, vpp: &Path) -> anyhow::Result<Self> {
        let path = vpp.to_owned();
        let table = spawn_blocking(move || raw::connect(&path)).await??.1.table;
        let id = raw::message_id(&table, Signature::new::<LbAsSetWeight>())?;
        let listener = UnixListener::bind(socket)?;
        let to_vpp = UnixStream::connect(vpp).with_context(|| vpp.display().to_string())?;
        let expected = Expected::default();
        let watched = Arc::clone(&expected);
        thread::spawn(move || -> anyhow::Result<()> {
            let (agent, _) = listener.accept()?;
            let (from_vpp, to_agent) = (to_vpp.try_clone()?, agent.try_clone()?);
            thread::spawn(move || forward(&from_vpp, &to_agent, |_, _| Ok(())));
            let mut input = BytesMut::new();
            forward(&agent, &to_vpp, move |bytes, at| record(&mut input, bytes, at, id, &watched))
        });
        Ok(Self { socket: socket.to_owned(), expected })
    }

    /// The socket for the agent.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The arrival times of the next `count` requests that set the weight of `server`, in order; sent with the last
    /// request.
    pub fn expect(&self, server: IpAddr, count: usize) -> oneshot::Receiver<Vec<Instant>> {
        let (done_tx, done_rx) = oneshot::channel();
        let requests = Requests { server, count, arrivals: Vec::with_capacity(count), done_tx };
        *self.expected.lock() = Some(requests);
        done_rx
    }
}

/// Forwards bytes after passing them to `inspect`, until one side closes the connection; then closes both.
fn forward(
    mut from: &UnixStream,
    mut to: &UnixStream,
    mut inspect: impl FnMut(&[u8], Instant) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut chunk = vec![0; 256 << 10];
    let result = loop {
        match from.read(&mut chunk) {
            Ok(0) => break Ok(()),
            Ok(read) => {
                let at = Instant::now();
                if let Err(error) = inspect(&chunk[..read], at).and_then(|()| Ok(to.write_all(&chunk[..read])?)) {
                    break Err(error);
                }
            }
            Err(error) => break Err(error.into()),
        }
    };
    for stream in [from, to] {
        // The other side may be closed already.
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
    result
}

fn record(input: &mut BytesMut, bytes: &[u8], at: Instant, id: u16, expected: &Expected) -> anyhow::Result<()> {
    input.extend_from_slice(bytes);
    while let Some(body) = frame::parse(input)? {
        if messages::id(&body) != Some(id) {
            continue;
        }
        let (_, request) = messages::decode::<LbAsSetWeight>(&body)?;
        let mut expected = expected.lock();
        if let Some(requests) = expected.as_mut().filter(|requests| requests.server == request.as_address) {
            requests.arrivals.push(at);
        }
        let is_complete = |requests: &mut Requests| requests.arrivals.len() == requests.count;
        if let Some(Requests { arrivals, done_tx, .. }) = expected.take_if(is_complete) {
            // Fails if the benchmark has given up.
            let _ = done_tx.send(arrivals);
        }
    }
    Ok(())
}
