//! Requests that change VPP, decoded from frames.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use maglev_model::actual::VppVip;
use maglev_vpp::messages::{
    self, Message,
    lb::{LbAddDelAsV2, LbAddDelVipV2, LbAsSetWeight, LbConf},
    memclnt::{SOCKCLNT_CREATE_REPLY, SockclntCreateReply},
};

/// A request that changes VPP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Conf,
    AddVip(VppVip),
    RemoveVip(VppVip),
    AddAs { vip: VppVip, address: IpAddr, weight: u8 },
    RemoveAs { vip: VppVip, address: IpAddr, flush: bool },
    SetWeight { vip: VppVip, address: IpAddr, weight: u8, flush: bool },
}

impl Request {
    /// The VIP that the request changes.
    pub fn vip(&self) -> Option<VppVip> {
        match self {
            Self::Conf => None,
            Self::AddVip(vip) | Self::RemoveVip(vip) => Some(*vip),
            Self::AddAs { vip, .. } | Self::RemoveAs { vip, .. } | Self::SetWeight { vip, .. } => Some(*vip),
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conf => f.write_str("set conf"),
            Self::AddVip(vip) => write!(f, "add {vip}"),
            Self::RemoveVip(vip) => write!(f, "remove {vip}"),
            Self::AddAs { vip, address, weight } => write!(f, "add {vip} {address} weight={weight}"),
            Self::RemoveAs { vip, address, flush } => write!(f, "remove {vip} {address} flush={flush}"),
            Self::SetWeight { vip, address, weight, flush } => {
                write!(f, "weigh {vip} {address} weight={weight} flush={flush}")
            }
        }
    }
}

/// The names of the messages of one connection, from the handshake.
#[derive(Debug, Default)]
pub struct MessageNames(BTreeMap<u16, String>);

impl MessageNames {
    /// Learns the names if `body` is the handshake's reply.
    pub fn learn(&mut self, body: &[u8]) {
        if messages::id(body) == Some(SOCKCLNT_CREATE_REPLY)
            && let Ok((_, reply)) = messages::decode::<SockclntCreateReply>(body)
        {
            let entries = reply.table.0.iter();
            self.0 = entries
                .filter_map(|entry| Some((entry.id, entry.name.as_str().rsplit_once('_')?.0.to_owned())))
                .collect();
        }
    }

    /// The name of the message.
    pub fn name(&self, body: &[u8]) -> &str {
        let name = messages::id(body).and_then(|id| self.0.get(&id));
        name.map_or("handshake", String::as_str)
    }

    /// The request, if it changes VPP.
    pub fn request(&self, body: &[u8]) -> Option<Request> {
        Some(match self.name(body) {
            LbConf::NAME => Request::Conf,
            LbAddDelVipV2::NAME => {
                let request = messages::decode::<LbAddDelVipV2>(body).ok()?.1;
                let vip = request.vip.into();
                if request.is_del { Request::RemoveVip(vip) } else { Request::AddVip(vip) }
            }
            LbAddDelAsV2::NAME => {
                let LbAddDelAsV2 { vip, as_address: address, weight, is_del, is_flush: flush } =
                    messages::decode::<LbAddDelAsV2>(body).ok()?.1;
                let vip = vip.into();
                if is_del { Request::RemoveAs { vip, address, flush } } else { Request::AddAs { vip, address, weight } }
            }
            LbAsSetWeight::NAME => {
                let LbAsSetWeight { vip, as_address: address, weight, is_flush: flush } =
                    messages::decode::<LbAsSetWeight>(body).ok()?.1;
                Request::SetWeight { vip: vip.into(), address, weight, flush }
            }
            _ => return None,
        })
    }
}
