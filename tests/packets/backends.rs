//! Demo backends that fail, on a VIP.

use std::io;
use std::net::SocketAddr;

use maglev_sandbox::demo_backend::Mode;

use crate::lab::{GRE4, Lab, TCP, UDP, on_each_vpp, server, until};

async fn failed_backend_fails_on_its_vips_too(lab: Lab) {
    let (web, dns): (SocketAddr, SocketAddr) = ("203.0.113.10:80".parse().unwrap(), "203.0.113.11:53".parse().unwrap());
    lab.add_vip(web, TCP, GRE4, &[(server(1), 10)]).await;
    lab.add_vip(dns, UDP, GRE4, &[(server(1), 10)]).await;
    assert!(lab.get(web).await.unwrap().starts_with("web-1 client="));

    lab.set_mode(1, Mode::Fail);
    assert_eq!(lab.get(web).await.unwrap(), "web-1 is failing\n");
    lab.datagram(dns, 0).await.unwrap_err();

    lab.set_mode(1, Mode::Refuse);
    let refused = |result: io::Result<String>| result.is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
    until("connections are refused", async || refused(lab.get(web).await)).await;
    until("datagrams are refused", async || refused(lab.datagram(dns, 0).await)).await;

    lab.set_mode(1, Mode::Ok);
    until("connections are accepted again", async || lab.get(web).await.is_ok()).await;
    until("datagrams are answered again", async || lab.datagram(dns, 0).await.is_ok()).await;
}

on_each_vpp! {
    1 => failed_backend_fails_on_its_vips_too,
}
