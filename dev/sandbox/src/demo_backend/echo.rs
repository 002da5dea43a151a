//! Echo services of one backend: TCP returns what it receives; UDP returns the backend's name, a space and the datagram.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use super::{DemoBackend, Mode, place::Place};

const BUFFER: usize = 1 << 16;
/// Pause before the port is bound again after an error.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Echoes one connection. Ends when the backend fails.
pub async fn echo_stream(backend: Arc<DemoBackend>, mut stream: TcpStream) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        let mode = *backend.mode.borrow();
        match mode {
            Mode::Ok | Mode::Refuse => {}
            Mode::Slow => tokio::time::sleep(backend.slow).await,
            Mode::Hang => return std::future::pending().await,
            Mode::Fail => return,
        }
        if stream.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

pub struct UdpEcho {
    pub backend: Arc<DemoBackend>,
    pub place: Place,
}

impl UdpEcho {
    /// Serves until `shutdown`.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            shutdown.run_until_cancelled(self.serve()).await;
        }
        .boxed()
    }

    async fn serve(self) {
        let mut mode = self.backend.mode.subscribe();
        loop {
            if *mode.borrow_and_update() == Mode::Refuse {
                // The sender lives in `self.backend`.
                let _ = mode.changed().await;
                continue;
            }
            match self.place.bind_udp().await {
                Ok(socket) => tokio::select! {
                    () = self.echo(&socket) => {}
                    () = refused(&mut mode) => {}
                },
                Err(error) => {
                    let (backend, address) = (&self.backend.name, self.place.address);
                    tracing::warn!(backend, %address, %error, "cannot listen on the address of a demo backend");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    async fn echo(&self, socket: &UdpSocket) {
        let mut buffer = vec![0; BUFFER];
        loop {
            // An ICMP error of an earlier answer is no reason to end.
            let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
            let _ = self.answer(socket, &buffer[..length], client).await;
        }
    }

    async fn answer(&self, socket: &UdpSocket, datagram: &[u8], client: SocketAddr) -> io::Result<()> {
        let mode = *self.backend.mode.borrow();
        match mode {
            Mode::Fail | Mode::Hang | Mode::Refuse => return Ok(()),
            Mode::Slow => tokio::time::sleep(self.backend.slow).await,
            Mode::Ok => {}
        }
        let answer = [self.backend.name.as_bytes(), b" ", datagram].concat();
        socket.send_to(&answer, client).await.map(drop)
    }
}

/// Waits for [`Mode::Refuse`].
async fn refused(mode: &mut watch::Receiver<Mode>) {
    let _ = mode.wait_for(|mode| *mode == Mode::Refuse).await;
}
