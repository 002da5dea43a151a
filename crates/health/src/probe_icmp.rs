//! ICMP: an echo request, and the reply to it. All probes of a family share one socket: an
//! unprivileged one where `net.ipv4.ping_group_range` allows it, else a raw one.

mod echo_socket;
mod packet;

use std::{cell::RefCell, io, net::IpAddr, rc::Rc};

use maglev_model::{health::ProbeCode, vip::Family};

use self::echo_socket::{EchoSocket, is_missing_capability};
use super::{
    connect::refused,
    prober::{Outcome, Target},
    progress::Progress,
};

/// What both kinds of sockets need.
const NEEDS: &str =
    "this needs the capability NET_RAW, or a sysctl net.ipv4.ping_group_range that has a group of this process";

/// Sends echoes, with one socket per family.
#[derive(Debug, Default)]
pub struct IcmpProbe {
    v4: RefCell<Option<Shared>>,
    v6: RefCell<Option<Shared>>,
}

/// A socket and the source address that it was asked to have.
#[derive(Debug)]
struct Shared {
    source: Option<IpAddr>,
    socket: Rc<EchoSocket>,
}

impl IcmpProbe {
    /// Sends one probe: `L4OK`, unless it fails on the way.
    ///
    /// # Errors
    /// How it failed.
    pub async fn run(&self, target: &Target, progress: &Progress<'_>) -> Result<Outcome, Outcome> {
        let family = Family::of(target.address);
        let socket = self.socket(family, target.source).map_err(|error| {
            let why = if is_missing_capability(&error) { format!(": {NEEDS}") } else { String::new() };
            Outcome::not_probed(format!("cannot open a socket for ICMP: {error}{why}"))
        })?;
        let awaited = socket.expect(target.address);
        let mut awaited = awaited.ok_or_else(|| Outcome::not_probed("all sequence numbers of ICMP are in use"))?;
        socket.send(&awaited, target.address).await.map_err(|error| refused("send an echo request", &error))?;
        progress.tell(|| {
            let echo = awaited.echo();
            format!("sent an echo request to {}, id {} sequence {}", target.address, echo.id, echo.sequence)
        });
        if awaited.reply().await {
            Ok(Outcome::answer(ProbeCode::L4Ok, "echo reply"))
        } else {
            Err(Outcome::not_probed("the socket for ICMP broke"))
        }
    }

    fn socket(&self, family: Family, source: Option<IpAddr>) -> io::Result<Rc<EchoSocket>> {
        let shared = match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        let mut shared = shared.borrow_mut();
        if let Some(shared) = &*shared
            && shared.source == source
            && !shared.socket.is_broken()
        {
            return Ok(Rc::clone(&shared.socket));
        }
        let socket = Rc::new(EchoSocket::open(family, source)?);
        *shared = Some(Shared { source, socket: Rc::clone(&socket) });
        Ok(socket)
    }
}

/// Whether this thread may probe by ICMP, in its network namespace and with its capabilities.
///
/// # Errors
/// A sentence for people: what is missing.
pub fn permitted() -> Result<(), String> {
    for family in [Family::V4, Family::V6] {
        match echo_socket::may_open(family) {
            Err(error) if is_missing_capability(&error) => return Err(NEEDS.to_owned()),
            Ok(()) => return Ok(()),
            // Such as a kernel without that family.
            Err(_) => {}
        }
    }
    Ok(())
}
