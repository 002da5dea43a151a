//! A TCP forwarder between fleet and agent that can be cut, closed and redirected.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

pub struct Forwarder {
    pub(crate) address: SocketAddr,
    destination: Arc<Mutex<Option<SocketAddr>>>,
    cuts: watch::Sender<u32>,
}

impl Forwarder {
    pub async fn new(destination: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the listener is bound");
        let (destination, cuts) = (Arc::new(Mutex::new(Some(destination))), watch::Sender::new(0));
        let (current, cuts_rx) = (Arc::clone(&destination), cuts.subscribe());
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                // In this order: a redirection that follows cuts the connection.
                let mut cuts_rx = cuts_rx.clone();
                cuts_rx.mark_unchanged();
                let to = *current.lock().expect("not poisoned");
                tokio::spawn(async move {
                    let Some(to) = to else { return };
                    let Ok(mut to) = TcpStream::connect(to).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut from, &mut to) => {}
                        _ = cuts_rx.changed() => {}
                    }
                });
            }
        });
        Self { address, destination, cuts }
    }

    /// Ends every connection.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Redirects to `destination`; `None` refuses connections.
    pub fn redirect(&self, destination: Option<SocketAddr>) {
        *self.destination.lock().expect("not poisoned") = destination;
        self.cut();
    }
}
