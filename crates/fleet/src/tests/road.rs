//! The way to an agent: a forwarder that can be cut, closed and led elsewhere.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Forwards connections, for as long as it lives.
pub struct Road {
    pub(crate) address: SocketAddr,
    to: Arc<Mutex<Option<SocketAddr>>>,
    cuts: watch::Sender<u32>,
}

impl Road {
    /// A way to `to`.
    pub async fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (to, cuts) = (Arc::new(Mutex::new(Some(to))), watch::Sender::new(0));
        let (leads_to, cuts_rx) = (Arc::clone(&to), cuts.subscribe());
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let to = *leads_to.lock().expect("nobody panics here");
                let mut cuts_rx = cuts_rx.clone();
                cuts_rx.mark_unchanged();
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
        Self { address, to, cuts }
    }

    /// Ends every connection.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// From now on it leads there, or nowhere.
    pub fn lead(&self, to: Option<SocketAddr>) {
        *self.to.lock().expect("nobody panics here") = to;
        self.cut();
    }
}
