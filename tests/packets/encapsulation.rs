//! Each encapsulation, and packets that are larger with it.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use maglev_vpp_simulator::VipSettings;

use crate::lab::{BACKENDS, GRE4, Lab, TCP, UDP, all_servers, lab_or_return, server6};

pub const GRE6: VipSettings = VipSettings { encap: 1, ..GRE4 };
const L3DSR: VipSettings = VipSettings { encap: 2, dscp: 7, ..GRE4 };
/// The TCP echo.
pub const ECHO: u16 = 7;

pub fn servers6() -> Vec<(IpAddr, u8)> {
    (1..=BACKENDS).map(|number| (server6(number), 10)).collect()
}

/// Sends `length` bytes to the TCP echo and receives them again.
pub fn echo(vip: SocketAddr, length: u32) -> io::Result<bool> {
    let sent: Vec<u8> = (0..length).map(|index| index.to_le_bytes()[index as usize % 3]).collect();
    let mut stream = TcpStream::connect_timeout(&vip, Duration::from_secs(3))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let (mut writer, expected) = (stream.try_clone()?, sent.clone());
    let writing = std::thread::spawn(move || writer.write_all(&sent));
    let mut received = vec![0; expected.len()];
    stream.read_exact(&mut received)?;
    writing.join().unwrap()?;
    Ok(received == expected)
}

/// Opens connections to HTTP, UDP and TCP echo of an address, with packets as large as the segment size allows.
async fn exchange(lab: &Lab, address: &str, settings: VipSettings, servers: &[(IpAddr, u8)]) {
    let address: IpAddr = address.parse().unwrap();
    let vip = move |port| SocketAddr::new(address, port);
    lab.add_vip(vip(80), TCP, settings, servers).await;
    lab.add_vip(vip(53), UDP, settings, servers).await;
    for vpp in &lab.vpps {
        crate::lab::add_vip(vpp, vip(ECHO), TCP, settings, servers);
    }
    let body = lab.get(vip(80)).await.unwrap();
    assert!(body.contains(&format!("vip={}", vip(80))), "{body}");
    let answer = lab.datagram(vip(53), 0).await.unwrap();
    assert!(answer.starts_with("web-") && answer.ends_with(" hello"), "{answer}");
    lab.until_served(vip(ECHO), TCP).await;
    assert!(lab.in_client(move || echo(vip(ECHO), 300_000)).await.unwrap());
    // Fragments, too, would be undeliverable: the backends' segments fit.
    assert_eq!(lab.packets.counts().undeliverable, 0);
}

#[tokio::test]
async fn ipv4_vip_works_over_gre4() {
    let lab = lab_or_return!("ipv4_vip_works_over_gre4", 1);
    exchange(&lab, "203.0.113.10", GRE4, &all_servers()).await;
}

#[tokio::test]
async fn ipv6_vip_works_over_gre4() {
    let lab = lab_or_return!("ipv6_vip_works_over_gre4", 1);
    exchange(&lab, "2001:db8::10", GRE4, &all_servers()).await;
}

#[tokio::test]
async fn ipv4_vip_works_over_gre6() {
    let lab = lab_or_return!("ipv4_vip_works_over_gre6", 1);
    exchange(&lab, "203.0.113.10", GRE6, &servers6()).await;
}

#[tokio::test]
async fn ipv6_vip_works_over_gre6() {
    let lab = lab_or_return!("ipv6_vip_works_over_gre6", 1);
    exchange(&lab, "2001:db8::10", GRE6, &servers6()).await;
}

#[tokio::test]
async fn ipv4_vip_works_with_l3dsr() {
    let lab = lab_or_return!("ipv4_vip_works_with_l3dsr", 1);
    exchange(&lab, "203.0.113.10", L3DSR, &all_servers()).await;
}
