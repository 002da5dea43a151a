//! The ICMP probe: an echo request and its reply. All probes of a family share one socket, which is unprivileged if
//! `net.ipv4.ping_group_range` allows that, else raw.

mod echo_socket;
mod packet;

use std::{cell::RefCell, io, net::IpAddr, rc::Rc};

use maglev_model::{health::ProbeCode, vip::Family};

use self::echo_socket::EchoSocket;
pub use self::echo_socket::is_missing_capability;
use super::{
    connect::failed,
    per_family::PerFamily,
    prober::{ProbeOutcome, ProbeTarget},
    progress::ProbeProgress,
};

/// The requirement of both kinds of sockets.
const REQUIREMENT: &str =
    "this needs the capability NET_RAW, or a group of this process in the sysctl net.ipv4.ping_group_range";

/// Sends echo requests through one socket per family.
#[derive(Debug, Default)]
pub struct IcmpProbe {
    sockets: PerFamily<RefCell<Option<SharedSocket>>>,
}

/// A socket and its configured source address.
#[derive(Debug)]
struct SharedSocket {
    source: Option<IpAddr>,
    socket: Rc<EchoSocket>,
}

impl IcmpProbe {
    /// Sends one probe. `Ok` is `L4OK`.
    ///
    /// # Errors
    /// The outcome of a failed probe.
    pub async fn run(&self, target: &ProbeTarget, progress: &ProbeProgress<'_>) -> Result<ProbeOutcome, ProbeOutcome> {
        let family = Family::from_address(target.address);
        let socket = self.socket(family, target.source).map_err(|error| {
            let hint = if is_missing_capability(&error) { format!(": {REQUIREMENT}") } else { String::new() };
            ProbeOutcome::not_probed(format!("cannot open a socket for ICMP: {error}{hint}"))
        })?;
        let expected = socket.expect(target.address);
        let mut expected =
            expected.ok_or_else(|| ProbeOutcome::not_probed("all sequence numbers of ICMP are in use"))?;
        socket.send(&expected, target.address).await.map_err(|error| failed("send an echo request", &error))?;
        progress.trace(|| {
            let echo = expected.echo();
            format!("sent an echo request to {}, id {} sequence {}", target.address, echo.id, echo.sequence)
        });
        if expected.reply().await {
            Ok(ProbeOutcome::completed(ProbeCode::L4Ok, "echo reply"))
        } else {
            Err(ProbeOutcome::not_probed("the socket for ICMP failed"))
        }
    }

    fn socket(&self, family: Family, source: Option<IpAddr>) -> io::Result<Rc<EchoSocket>> {
        let mut shared = self.sockets[family].borrow_mut();
        if let Some(shared) = &*shared
            && shared.source == source
            && !shared.socket.has_failed()
        {
            return Ok(Rc::clone(&shared.socket));
        }
        let socket = Rc::new(EchoSocket::open(family, source)?);
        *shared = Some(SharedSocket { source, socket: Rc::clone(&socket) });
        Ok(socket)
    }
}

/// Checks that this thread can send ICMP probes in its network namespace and with its capabilities.
///
/// # Errors
/// Human-readable message that names the missing capability or setting.
pub fn check_permission() -> Result<(), String> {
    for family in [Family::V4, Family::V6] {
        match echo_socket::try_open(family) {
            Err(error) if is_missing_capability(&error) => return Err(REQUIREMENT.to_owned()),
            Ok(()) => return Ok(()),
            // For example, a kernel without that family.
            Err(_) => {}
        }
    }
    Ok(())
}
