//! The configuration of a real VPP: one thread, no huge pages, no other device than the tun device of its namespace.

use std::{net::Ipv6Addr, path::Path};

use super::{RealVpp, program::PLUGINS};
use crate::packets::DEVICE;

/// VPP's name of its interface on the tun device.
pub const INTERFACE: &str = "host-tun0";
/// Prefix of VPP's IPv6 addresses.
const PREFIX: Ipv6Addr = Ipv6Addr::new(0xfd6d, 0x6167, 0x6c65, 0x7601, 0, 0, 0, 0);

/// The file `startup.conf`. VPP runs `interface` at its start.
pub fn startup(vpp: &RealVpp, interface: &Path) -> String {
    let sockets = vpp.sockets.display();
    let plugins = PLUGINS.map(|plugin| format!("plugin {plugin} {{ enable }}")).join(" ");
    format!(
        "\
unix {{ nodaemon nosyslog nobanner poll-sleep-usec 200 runtime-dir {sockets} cli-listen {sockets}/cli.sock exec {exec} }}
api-segment {{ prefix {prefix} }}
socksvr {{ socket-name {sockets}/api.sock }}
statseg {{ socket-name {sockets}/stats.sock size 32M page-size default }}
memory {{ main-heap-size 256M main-heap-page-size default }}
buffers {{ buffers-per-numa 16384 page-size default }}
plugins {{ path {path} plugin default {{ disable }} {plugins} }}
",
        exec = interface.display(),
        prefix = vpp.namespace.name(),
        path = vpp.program.plugins().display(),
    )
}

/// The CLI commands that create the interface, with routes to everything through it.
///
/// Packets have no Ethernet headers, so no ARP is needed. Without `cksum-gso-disable`, recent kernels drop every packet that VPP
/// sends. The rings are small: the default ones take 140 MB.
pub fn interface(number: u8) -> String {
    let ipv6 = Ipv6Addr::from_bits(PREFIX.to_bits() | u128::from(number));
    format!(
        "\
create host-interface name {DEVICE} mode ip cksum-gso-disable rx-size 2048 tx-size 2048
set interface state {INTERFACE} up
set interface mtu packet 1500 {INTERFACE}
set interface ip address {INTERFACE} 10.127.1.{number}/32
set interface ip address {INTERFACE} {ipv6}/128
ip route add 0.0.0.0/0 via {INTERFACE}
ip route add ::/0 via {INTERFACE}
lb conf ip4-src-address 10.127.1.{number} ip6-src-address {ipv6}
"
    )
}
