//! A socket between an agent and VPP that notes when the bytes of requests are there. Threads of its
//! own, so that it takes no turns with the agent's tasks.

use std::{
    io::{Read, Write},
    net::IpAddr,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Instant,
};

use anyhow::Context as _;
use bytes::BytesMut;
use maglev_vpp::{
    frame,
    messages::{self, Signature, lb::LbAsSetWeight},
};
use tokio::{sync::oneshot, task::spawn_blocking};

use crate::raw;

/// What is waited for.
type Expected = Arc<Mutex<Option<Requests>>>;

/// Requests that set the weight of one application server, each for another VIP.
struct Requests {
    server: IpAddr,
    count: usize,
    came: Vec<Instant>,
    tell: oneshot::Sender<Vec<Instant>>,
}

/// For one agent, which connects once. Its threads end when the agent or VPP hangs up.
pub struct ProbeTap {
    socket: PathBuf,
    expected: Expected,
}

impl ProbeTap {
    /// Listens at `socket` for an agent whose VPP is at `vpp`.
    pub async fn start(socket: &Path, vpp: &Path) -> anyhow::Result<Self> {
        let path = vpp.to_owned();
        let table = spawn_blocking(move || raw::connect(&path)).await??.1.table;
        let id = raw::id_of(&table, Signature::new::<LbAsSetWeight>())?;
        let listener = UnixListener::bind(socket)?;
        let to_vpp = UnixStream::connect(vpp).with_context(|| vpp.display().to_string())?;
        let expected = Expected::default();
        let watched = Arc::clone(&expected);
        thread::spawn(move || -> anyhow::Result<()> {
            let (agent, _) = listener.accept()?;
            let (from_vpp, to_agent) = (to_vpp.try_clone()?, agent.try_clone()?);
            thread::spawn(move || pass_on(&from_vpp, &to_agent, |_, _| Ok(())));
            let mut input = BytesMut::new();
            pass_on(&agent, &to_vpp, move |bytes, at| look(&mut input, bytes, at, id, &watched))
        });
        Ok(Self { socket: socket.to_owned(), expected })
    }

    /// Where the agent connects to.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// When each of the next `count` requests that set the weight of `server` is there, in their order;
    /// told with the last.
    pub fn expect(&self, server: IpAddr, count: usize) -> oneshot::Receiver<Vec<Instant>> {
        let (tell, told) = oneshot::channel();
        let requests = Requests { server, count, came: Vec::with_capacity(count), tell };
        *self.expected.lock().unwrap_or_else(PoisonError::into_inner) = Some(requests);
        told
    }
}

/// Passes on what comes, after a look at it, until one side hangs up; then both sides know.
fn pass_on(
    mut from: &UnixStream,
    mut to: &UnixStream,
    mut look: impl FnMut(&[u8], Instant) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut chunk = vec![0; 256 << 10];
    let result = loop {
        match from.read(&mut chunk) {
            Ok(0) => break Ok(()),
            Ok(read) => {
                let at = Instant::now();
                if let Err(error) = look(&chunk[..read], at).and_then(|()| Ok(to.write_all(&chunk[..read])?)) {
                    break Err(error);
                }
            }
            Err(error) => break Err(error.into()),
        }
    };
    for stream in [from, to] {
        // The other side may have hung up before.
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
    result
}

fn look(input: &mut BytesMut, bytes: &[u8], at: Instant, id: u16, expected: &Expected) -> anyhow::Result<()> {
    input.extend_from_slice(bytes);
    while let Some(body) = frame::parse(input)? {
        if messages::id(&body) != Some(id) {
            continue;
        }
        let (_, request) = messages::decode::<LbAsSetWeight>(&body)?;
        let mut expected = expected.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(requests) = expected.as_mut().filter(|requests| requests.server == request.as_address) {
            requests.came.push(at);
        }
        if let Some(Requests { came, tell, .. }) = expected.take_if(|requests| requests.came.len() == requests.count) {
            // Nobody waits any more when the benchmark gave up.
            let _ = tell.send(came);
        }
    }
    Ok(())
}
