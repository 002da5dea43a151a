//! The stream to VPP's API socket: a Unix socket, or an in-memory stream in simulations.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::future::{BoxFuture, FutureExt};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixStream,
};

/// A connected stream to VPP.
pub trait ApiStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ApiStream for S {}

type Open = dyn Fn(PathBuf) -> BoxFuture<'static, io::Result<Box<dyn ApiStream>>> + Send + Sync;

/// Opens streams to the API socket. Clones share the function.
#[derive(Clone)]
pub struct Dial(Arc<Open>);

impl Dial {
    /// Opens streams with `open`, which receives the path of the API socket.
    pub fn new<F, S>(open: impl Fn(PathBuf) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<S>> + Send + 'static,
        S: ApiStream + 'static,
    {
        Self(Arc::new(move |path| {
            let opened = open(path);
            async move { opened.await.map(|stream| Box::new(stream) as Box<dyn ApiStream>) }.boxed()
        }))
    }

    pub(crate) async fn open(&self, path: &Path) -> io::Result<Box<dyn ApiStream>> {
        (self.0)(path.to_owned()).await
    }
}

impl Default for Dial {
    /// Connects to the Unix socket.
    fn default() -> Self {
        Self::new(UnixStream::connect)
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dial")
    }
}
