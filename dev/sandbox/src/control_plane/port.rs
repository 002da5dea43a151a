//! Ports on loopback for the control plane.

use std::net::{Ipv4Addr, TcpListener};

use super::SandboxError;

/// Below the range of outgoing connections on Linux (32768–60999), so that a port stays free while its owner restarts.
const FROM: u16 = 20_000;
const TO: u16 = 29_999;
const TRIES: u32 = 1_000;

/// One port per listener.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    pub etcd_client: u16,
    pub etcd_peer: u16,
    pub api_server: u16,
}

impl Ports {
    /// Chooses three free ports. Another process can take one before its first use; callers retry.
    pub fn choose() -> Result<Self, SandboxError> {
        // Listeners stay open until all ports are chosen, so that the ports differ.
        let (client_listener, etcd_client) = free()?;
        let (peer_listener, etcd_peer) = free()?;
        let (_api_listener, api_server) = free()?;
        drop((client_listener, peer_listener));
        Ok(Self { etcd_client, etcd_peer, api_server })
    }
}

fn free() -> Result<(TcpListener, u16), SandboxError> {
    for _ in 0..TRIES {
        let port = fastrand::u16(FROM..=TO);
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok((listener, port));
        }
    }
    Err(SandboxError::NoPort { from: FROM, to: TO })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_distinct_and_outside_the_ephemeral_range() {
        let Ports { etcd_client, etcd_peer, api_server } = Ports::choose().unwrap();
        assert!(etcd_client != etcd_peer && etcd_peer != api_server && api_server != etcd_client);
        assert!([etcd_client, etcd_peer, api_server].iter().all(|port| (FROM..=TO).contains(port)));
    }
}
