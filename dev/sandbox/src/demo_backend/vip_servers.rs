//! The servers of one backend on a VIP, in the backend's network namespace.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    DemoBackend,
    echo::UdpEcho,
    place::Place,
    server::{Server, Service},
};
use crate::packets::Namespace;

/// The port of the echo service, and of the HTTP service on a VIP for all ports.
const ECHO: u16 = 7;
const HTTP: u16 = 80;
/// IP protocol numbers.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Starts the servers on the VIPs of one backend.
pub struct VipServers<'a> {
    pub namespace: &'a Namespace,
    pub backend: &'a Arc<DemoBackend>,
    pub tasks: &'a TaskTracker,
    /// Stops the servers.
    pub stop: &'a CancellationToken,
}

impl VipServers<'_> {
    /// Starts the servers for a VIP: TCP with HTTP, or an echo on port 7; UDP with an echo. A VIP for all ports (port 0) has
    /// HTTP on port 80 and both echoes on port 7.
    pub fn start(&self, address: IpAddr, protocol: u8, port: u16) {
        match (protocol, port) {
            (TCP, ECHO) => self.tcp(address, ECHO, Service::Echo),
            (TCP, port) => self.tcp(address, port, Service::Http),
            (UDP, port) => self.udp(address, port),
            _ => {
                self.tcp(address, HTTP, Service::Http);
                self.tcp(address, ECHO, Service::Echo);
                self.udp(address, ECHO);
            }
        }
    }

    fn place(&self, address: IpAddr, port: u16) -> Place {
        Place { address: SocketAddr::new(address, port), namespace: Some(self.namespace.clone()) }
    }

    fn tcp(&self, address: IpAddr, port: u16, service: Service) {
        let place = self.place(address, port);
        let server = Server { backend: Arc::clone(self.backend), place, listener: None, service };
        self.tasks.spawn(server.run(self.stop.clone()));
    }

    fn udp(&self, address: IpAddr, port: u16) {
        let echo = UdpEcho { backend: Arc::clone(self.backend), place: self.place(address, port) };
        self.tasks.spawn(echo.run(self.stop.clone()));
    }
}
