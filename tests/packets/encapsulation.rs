//! Each encapsulation, and packets that are larger with it.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use maglev_model::vip::{Dscp, Encap};

use crate::lab::{BACKENDS, GRE4, Lab, TCP, UDP, all_servers, on_each_vpp, server6};
use crate::vpp::Settings;

pub const GRE6: Settings = Settings { encap: Encap::Gre6, ..GRE4 };
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
async fn exchange(lab: &Lab, address: &str, settings: Settings, servers: &[(IpAddr, u8)]) {
    let address: IpAddr = address.parse().unwrap();
    let vip = move |port| SocketAddr::new(address, port);
    lab.add_vip(vip(80), TCP, settings, servers).await;
    lab.add_vip(vip(53), UDP, settings, servers).await;
    for vpp in &lab.vpps {
        vpp.add_vip(vip(ECHO), TCP, settings, servers).await;
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

async fn ipv4_vip_works_over_gre4(lab: Lab) {
    exchange(&lab, "203.0.113.10", GRE4, &all_servers()).await;
}

async fn ipv6_vip_works_over_gre4(lab: Lab) {
    exchange(&lab, "2001:db8::10", GRE4, &all_servers()).await;
}

async fn ipv4_vip_works_over_gre6(lab: Lab) {
    exchange(&lab, "203.0.113.10", GRE6, &servers6()).await;
}

async fn ipv6_vip_works_over_gre6(lab: Lab) {
    exchange(&lab, "2001:db8::10", GRE6, &servers6()).await;
}

async fn ipv4_vip_works_with_l3dsr(lab: Lab) {
    let l3dsr = Encap::L3dsr(Dscp::new(7).unwrap());
    exchange(&lab, "203.0.113.10", Settings { encap: l3dsr, ..GRE4 }, &all_servers()).await;
}

on_each_vpp! {
    1 => ipv4_vip_works_over_gre4,
    1 => ipv6_vip_works_over_gre4,
    1 => ipv4_vip_works_over_gre6,
    1 => ipv6_vip_works_over_gre6,
    1 => ipv4_vip_works_with_l3dsr,
}
