//! Ports on loopback for the control plane.

use std::net::{Ipv4Addr, TcpListener};

use super::SandboxError;

/// Below what Linux hands out for outgoing connections (32768–60999): a port stays free while its owner restarts.
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
    /// Three ports nobody listens on now. Another process may take one before we do: the caller then tries again.
    pub fn choose() -> Result<Self, SandboxError> {
        // Held until all are chosen, so that they differ.
        let (held_client, etcd_client) = free()?;
        let (held_peer, etcd_peer) = free()?;
        let (_held_api, api_server) = free()?;
        drop((held_client, held_peer));
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
    fn the_ports_differ_and_are_outside_of_what_connections_use() {
        let Ports { etcd_client, etcd_peer, api_server } = Ports::choose().unwrap();
        assert!(etcd_client != etcd_peer && etcd_peer != api_server && api_server != etcd_client);
        assert!([etcd_client, etcd_peer, api_server].iter().all(|port| (FROM..=TO).contains(port)));
    }
}
