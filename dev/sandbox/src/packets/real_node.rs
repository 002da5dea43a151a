//! The router's connection to a real VPP: packets pass the tun device to which VPP is attached, and the VIPs are read from
//! VPP's API socket.
//!
//! ```text
//!  router ─▶ queue ─▶ tun0 ─▶ host-tun0 of VPP ─▶ lb plugin ─▶ host-tun0 ─▶ tun0 ─▶ decapsulation ─▶ backend
//! ```

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use maglev_model::actual::{ActualEncap, ActualVip, VppVip};
use maglev_vpp::{error::Error, lb::Lb};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tun_rs::AsyncDevice;

use super::announced_vips::{AnnouncedVips, INTERVAL};
use super::frame::{L3DSR, ProgrammedVip};
use super::header::destination;
use super::router::{BUFFER, RECONNECT, Receiver};
use crate::real_vpp::session_options;

/// The connection to the real VPP of one node. VPP may stop and start again.
pub struct RealNodeLink {
    /// The tun device in VPP's namespace.
    pub device: AsyncDevice,
    pub api_socket: PathBuf,
    pub queue_rx: mpsc::Receiver<Bytes>,
    pub receiver: Receiver,
}

impl RealNodeLink {
    /// Runs until the tun device fails.
    pub async fn run(mut self) -> io::Result<()> {
        let Self { device, api_socket, queue_rx, receiver } = &mut self;
        tokio::select! {
            ended = send(queue_rx, device) => ended,
            ended = receive(device, receiver) => ended,
            () = follow_vips(api_socket, receiver) => Ok(()),
        }
    }
}

async fn send(queue_rx: &mut mpsc::Receiver<Bytes>, device: &AsyncDevice) -> io::Result<()> {
    while let Some(packet) = queue_rx.recv().await {
        device.send(&packet).await?;
    }
    Ok(())
}

async fn receive(device: &AsyncDevice, receiver: &Receiver) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = device.recv(&mut buffer).await?;
        let packet = &buffer[..length];
        // The kernel and VPP send multicast packets of IPv6.
        if destination(packet).is_some_and(|address| !address.is_multicast()) {
            receiver.deliver(packet).await;
        }
    }
}

/// Announces VPP's VIPs while it is up.
async fn follow_vips(api_socket: &Path, receiver: &Receiver) {
    loop {
        if let Ok(lb) = Lb::connect(api_socket, session_options()).await {
            let closed = lb.closed();
            let ended = tokio::select! {
                reason = closed => Err(format!("{reason:?}")),
                ended = announce(&lb, receiver) => ended.map_err(|error| error.to_string()),
            };
            tracing::debug!(socket = %api_socket.display(), ?ended, "the session with a real VPP has ended");
            receiver.table.disconnected(receiver.number);
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn announce(lb: &Lb, receiver: &Receiver) -> Result<(), Error> {
    let mut announced = AnnouncedVips::default();
    let mut due = tokio::time::interval(INTERVAL);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        let vips = lb.read().await?.vips;
        let hosts = vips.iter().filter(|(vip, _)| vip.is_host());
        let programmed: BTreeSet<_> = hosts.map(|(vip, state)| programmed(vip, state)).collect();
        if let Some(vips) = announced.update(programmed) {
            receiver.table.connected(receiver.number, vips);
        }
    }
}

fn programmed(vip: &VppVip, state: &ActualVip) -> ProgrammedVip {
    let l3dsr = |encap: ActualEncap| (encap.kind == L3DSR).then_some(encap.dscp);
    ProgrammedVip { address: vip.address, protocol: vip.protocol, port: vip.port, dscp: state.encap.and_then(l3dsr) }
}

#[cfg(test)]
mod tests {
    use maglev_model::ServerMap;

    use super::*;

    #[test]
    fn only_vips_with_l3dsr_have_a_dscp() {
        let vip = VppVip { address: [203, 0, 113, 10].into(), length: 32, protocol: 6, port: 80 };
        let dscp = |kind| {
            let encap = Some(ActualEncap { kind, dscp: 7, target_port: 0 });
            let ases = ServerMap::default();
            let state = ActualVip { encap, sticky: None, table_length: None, pool_index: None, ases };
            programmed(&vip, &state).dscp
        };
        assert_eq!([0, 1, 2].map(dscp), [None, None, Some(7)]);
    }
}
