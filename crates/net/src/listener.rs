//! Binding of a server's address.

use std::{net::SocketAddr, time::Duration};

use tokio::net::TcpListener;

use crate::Backoff;

const MIN_DELAY: Duration = Duration::from_millis(500);
const MAX_DELAY: Duration = Duration::from_secs(30);

/// Binds `address` for the server of this name. A failure (usually an address in use) is logged and retried after 0.5 s
/// to 30 s: a program whose predecessor has not ended yet must not give up.
pub async fn bind(address: SocketAddr, server: &str) -> TcpListener {
    let mut backoff = Backoff::new(MIN_DELAY, MAX_DELAY);
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => {
                let delay = backoff.next_delay();
                tracing::error!(server, %address, %error, retry_s = delay.as_secs_f64(), "cannot listen");
                tokio::time::sleep(delay).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_in_use_is_bound_once_it_is_free() {
        let first = bind(([127, 0, 0, 1], 0).into(), "test").await;
        let address = first.local_addr().unwrap();
        let second = tokio::spawn(bind(address, "test"));
        drop(first);
        let listener = tokio::time::timeout(Duration::from_secs(30), second).await.unwrap().unwrap();
        assert_eq!(listener.local_addr().unwrap(), address);
    }
}
