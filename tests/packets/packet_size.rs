//! Packets that are larger than the MTU in their encapsulation: the black hole of backends that announce too large segments.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};

use maglev_model::counters::VipPackets;
use maglev_sandbox::packets::Namespace;

use crate::encapsulation::{ECHO, GRE6, echo, servers6};
use crate::lab::{BACKENDS, GRE4, Lab, TCP, TIMEOUT, all_servers, on_each_vpp, until};
use crate::vpp::Settings;

/// Segments of 1460 and 1440 bytes, as Linux announces them with an MTU of 1500.
const WITHOUT_ADVMSS: &str = "route change 0.0.0.0/0 dev tun0\nroute change ::/0 dev tun0\n";
/// Segments for GRE6.
const WITH_ADVMSS: &str = "route change 0.0.0.0/0 dev tun0 advmss 1416\nroute change ::/0 dev tun0 advmss 1396\n";
const VIPS: [&str; 2] = ["203.0.113.10", "2001:db8::10"];
/// Fits into a packet with every encapsulation.
const SMALL: u32 = 1000;
const LARGE: u32 = 300_000;

fn vip(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), ECHO)
}

/// Sets the default routes of all backends, and with them the segment sizes that they announce.
fn set_routes(lab: &Lab, commands: &str) {
    for backend in 1..=BACKENDS {
        Namespace::backend(lab.dir(), &format!("web-{backend}")).configure(commands).unwrap();
    }
}

async fn echo_of(lab: &Lab, vip: SocketAddr, length: u32) -> io::Result<bool> {
    lab.in_client(move || echo(vip, length)).await
}

async fn add_vips(lab: &Lab, settings: Settings, servers: &[(IpAddr, u8)]) {
    for address in VIPS {
        lab.add_vip(vip(address), TCP, settings, servers).await;
    }
}

async fn packets(lab: &Lab, vip: SocketAddr) -> VipPackets {
    lab.vpps[0].packets(vip, TCP).await
}

/// Number of packets that VPP has counted on the VIPs, and that no backend has received.
async fn lost(lab: &Lab) -> u64 {
    let mut counted = 0;
    for address in VIPS {
        let packets = packets(lab, vip(address)).await;
        counted += packets.first + packets.existing;
    }
    counted.saturating_sub(lab.packets.counts().delivered)
}

async fn large_segments_vanish_in_gre6_while_small_ones_and_all_counters_look_fine(lab: Lab) {
    set_routes(&lab, WITHOUT_ADVMSS);
    add_vips(&lab, GRE6, &servers6()).await;
    for address in VIPS {
        let vip = vip(address);
        assert!(echo_of(&lab, vip, SMALL).await.unwrap());
        let (before, lost_before) = (packets(&lab, vip).await, lost(&lab).await);
        let mut stream = lab.in_client(move || TcpStream::connect_timeout(&vip, TIMEOUT)).await.unwrap();
        stream.set_nonblocking(true).unwrap();
        let written = stream.write(&[0; LARGE as usize]).unwrap();
        assert!(written > 14_600, "{written} bytes: more than the first ten segments");
        // The first ten segments, and repetitions.
        until("the client repeats its segments", async || lost(&lab).await > lost_before + 11).await;
        assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), io::ErrorKind::WouldBlock, "nothing is echoed");

        let after = packets(&lab, vip).await;
        assert_eq!(after.first, before.first + 1);
        assert!(after.existing > before.existing + 11, "VPP counts what it drops: {before:?}, {after:?}");
        assert_eq!((after.untracked, after.no_server), (0, 0));
        let counts = lab.packets.counts();
        assert_eq!((counts.no_node, counts.overflow, counts.undeliverable), (0, 0, 0));
        assert!(echo_of(&lab, vip, SMALL).await.unwrap(), "other connections go on");
    }
    // What the guide advises.
    set_routes(&lab, WITH_ADVMSS);
    for address in VIPS {
        assert!(echo_of(&lab, vip(address), LARGE).await.unwrap(), "{address}");
    }
}

async fn large_segments_are_fragmented_in_gre4(lab: Lab) {
    set_routes(&lab, WITHOUT_ADVMSS);
    add_vips(&lab, GRE4, &all_servers()).await;
    for address in VIPS {
        assert!(echo_of(&lab, vip(address), LARGE).await.unwrap(), "{address}");
    }
    // A fragment that does not complete its packet is no delivery.
    assert!(lab.packets.counts().undeliverable > 300, "{:?}", lab.packets.counts());
}

on_each_vpp! {
    1 => large_segments_vanish_in_gre6_while_small_ones_and_all_counters_look_fine,
    1 => large_segments_are_fragmented_in_gre4,
}
