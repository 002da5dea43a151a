//! What the agent asks of VPP's lb plugin, in the model's types.
//!
//! Each operation is queued when it is called; its future is the answer. So a caller issues many and
//! then waits, and VPP does them in the order of the calls. What VPP makes of them is decided in the
//! model, not here.
//!
//! Plugins differ: see [`Plugin`]. Whatever an older one needs (prefix lengths counted from 96,
//! little-endian encap, reading back by CLI text) belongs into `lb/` beside [`read`], chosen by
//! [`Plugin`], so that nothing outside this room notices.

mod read;
mod route;

use std::{fmt, net::IpAddr, path::Path};

pub use self::read::merge;
use super::{
    cli,
    error::{CloseReason, Error},
    messages::{
        Message, Request, Signature,
        lb::{
            LbAddDelAsV2, LbAddDelAsV2Reply, LbAddDelVipV2, LbAddDelVipV2Reply, LbAsSetWeight, LbAsSetWeightReply,
            LbAsV2Details, LbAsV2Dump, LbConf, LbConfGet, LbConfGetReply, LbConfReply, LbVipDetails, LbVipDump,
            SRV_CLUSTERIP, WireVip,
        },
        memclnt::ControlPing,
        vlib::CliInband,
        vpe::ShowVersion,
    },
    session::{Missing, Session, SessionOptions},
};
use crate::model::{
    actual::{Actual, ActualConf, ActualEncap, VppVip},
    vip::{Encap, TableLength, VipKey, Weight},
};

/// Which lb plugin VPP has. Told apart by the presence of `lb_conf_get`: the CRCs of the older
/// messages did not change although their meaning did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plugin {
    /// 26.10 and later: weights, and dumps that tell the truth.
    Weighted,
    /// Up to 26.06: no weights, other encodings of the same messages.
    Legacy,
}

/// What this VPP can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Application servers have weights.
    pub weights: bool,
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.weights { "weights" } else { "none" })
    }
}

/// Which VPP this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VppInfo {
    /// Such as `26.10-rc0~374-gb575ec2c56d`.
    pub version: String,
    /// Such as `2026-11-22T22:48:06`.
    pub build_date: String,
    /// VPP's process id, in VPP's PID namespace.
    pub pid: u32,
    /// What it can do.
    pub capabilities: Capabilities,
}

/// A session with a VPP whose lb plugin can be driven. A clone is a handle to the same session.
#[derive(Clone, Debug)]
pub struct Lb {
    session: Session,
    info: VppInfo,
}

impl Lb {
    /// Connects to the API socket at `path`.
    ///
    /// # Errors
    /// As [`Session::connect`]; [`Error::Missing`] naming the lb messages that are not there, and
    /// [`Error::Unsupported`] for a plugin that cannot be driven.
    pub async fn connect(path: &Path, options: SessionOptions) -> Result<Self, Error> {
        let session = Session::connect(path, options).await?;
        let (version, ping) = (session.call(&ShowVersion {}), session.call(&ControlPing {}));
        let (version, ping) = (version.await?, ping.await?);
        let info = VppInfo {
            version: version.version.as_str().to_owned(),
            build_date: version.build_date.as_str().to_owned(),
            pid: ping.vpe_pid,
            capabilities: Capabilities { weights: true },
        };
        match plugin(session.missing()) {
            Plugin::Weighted => needed(session.missing())?,
            Plugin::Legacy => {
                let why = "its lb plugin is that of 26.06 or before, without weights, which this build cannot drive";
                return Err(Error::Unsupported { version: info.version, why });
            }
        }
        Ok(Self { session, info })
    }

    /// Which VPP this is.
    #[must_use]
    pub fn info(&self) -> &VppInfo {
        &self.info
    }

    /// The session, for what is not about the lb plugin.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// A future that resolves once the session has ended, with why.
    pub fn closed(&self) -> impl Future<Output = CloseReason> + Send + use<> {
        self.session.closed()
    }

    /// Asks VPP for a sign of life.
    pub fn ping(&self) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        self.done(&ControlPing {})
    }

    /// The plugin's global settings.
    pub fn conf(&self) -> impl Future<Output = Result<ActualConf, Error>> + Send + use<> {
        let reply = self.session.call(&LbConfGet {});
        async move {
            let conf = reply.await?;
            Ok(ActualConf {
                ipv4_source: conf.ip4_src_address,
                ipv6_source: conf.ip6_src_address,
                sticky_buckets_per_core: conf.sticky_buckets_per_core,
                flow_timeout: conf.flow_timeout,
            })
        }
    }

    /// Sets the plugin's global settings, all of them. Another number of buckets drops every worker's
    /// sticky table.
    pub fn set_conf(&self, conf: ActualConf) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        self.done(&LbConf {
            ip4_src_address: conf.ipv4_source,
            ip6_src_address: conf.ipv6_source,
            sticky_buckets_per_core: conf.sticky_buckets_per_core,
            flow_timeout: conf.flow_timeout,
        })
    }

    /// All that VPP has, read at one place in the order of the calls. Affinity and pool index are
    /// `None` where the CLI's text does not tell them.
    pub fn read(&self) -> impl Future<Output = Result<Actual, Error>> + Send + use<> {
        let vips = self.session.dump(&LbVipDump::ALL);
        let ases = self.session.dump(&LbAsV2Dump { vip: WireVip::ZERO });
        let text = self.session.call(&CliInband { cmd: cli::SHOW_VIPS.to_owned() });
        async move {
            let (vips, ases) = (vips.await?, ases.await?);
            let shown = match text.await {
                Ok(reply) => cli::parse_vips(&reply.reply),
                Err(Error::Refused { .. } | Error::Swallowed { .. } | Error::Missing { .. }) => Vec::new(),
                Err(error) => return Err(error),
            };
            Ok(merge(&vips, &ases, &shown))
        }
    }

    /// Adds a VIP.
    pub fn add_vip(
        &self,
        key: VipKey,
        encap: Encap,
        sticky: bool,
        table_length: TableLength,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let encap = ActualEncap::from(encap);
        self.done(&LbAddDelVipV2 {
            vip: VppVip::from(key).into(),
            encap: encap.kind,
            dscp: encap.dscp,
            srv_type: SRV_CLUSTERIP,
            target_port: encap.target_port,
            node_port: 0,
            new_flows_table_length: table_length.get().into(),
            src_ip_sticky: sticky,
            is_del: false,
        })
    }

    /// Removes a VIP. Its application servers should have been removed before, with flush.
    pub fn remove_vip(&self, vip: VppVip) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        self.done(&LbAddDelVipV2 {
            vip: vip.into(),
            encap: 0,
            dscp: 0,
            srv_type: SRV_CLUSTERIP,
            target_port: 0,
            node_port: 0,
            // VPP has no use for it here, but takes a 0 for an add that exhausts its memory.
            new_flows_table_length: TableLength::DEFAULT.get().into(),
            src_ip_sticky: false,
            is_del: true,
        })
    }

    /// Adds an application server. `flush` forgets the flows pinned to an earlier life of it.
    pub fn add_as(
        &self,
        vip: VppVip,
        address: IpAddr,
        weight: Weight,
        flush: bool,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let weight = weight.get();
        self.done(&LbAddDelAsV2 { vip: vip.into(), as_address: address, weight, is_del: false, is_flush: flush })
    }

    /// Removes an application server. `flush` forgets the flows pinned to it.
    pub fn remove_as(
        &self,
        vip: VppVip,
        address: IpAddr,
        flush: bool,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        self.done(&LbAddDelAsV2 { vip: vip.into(), as_address: address, weight: 0, is_del: true, is_flush: flush })
    }

    /// Sets the weight of a live application server. `flush` forgets the flows pinned to it.
    pub fn set_weight(
        &self,
        vip: VppVip,
        address: IpAddr,
        weight: Weight,
        flush: bool,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let weight = weight.get();
        self.done(&LbAsSetWeight { vip: vip.into(), as_address: address, weight, is_flush: flush })
    }

    fn done<R: Request>(&self, request: &R) -> impl Future<Output = Result<(), Error>> + Send + use<R> {
        let reply = self.session.call(request);
        async move { reply.await.map(drop) }
    }
}

fn plugin(missing: &[Missing]) -> Plugin {
    let absent = |name: &str| missing.iter().any(|of| matches!(of, Missing::Absent(known) if known.name == name));
    if absent(LbConfGet::NAME) && !absent(LbAddDelVipV2::NAME) { Plugin::Legacy } else { Plugin::Weighted }
}

/// What the operations here send and wait for.
const NEEDED: &[Signature] = &[
    Signature::of::<LbConf>(),
    Signature::of::<LbConfReply>(),
    Signature::of::<LbConfGet>(),
    Signature::of::<LbConfGetReply>(),
    Signature::of::<LbAddDelVipV2>(),
    Signature::of::<LbAddDelVipV2Reply>(),
    Signature::of::<LbAddDelAsV2>(),
    Signature::of::<LbAddDelAsV2Reply>(),
    Signature::of::<LbAsSetWeight>(),
    Signature::of::<LbAsSetWeightReply>(),
    Signature::of::<LbVipDump>(),
    Signature::of::<LbVipDetails>(),
    Signature::of::<LbAsV2Dump>(),
    Signature::of::<LbAsV2Details>(),
];

fn needed(missing: &[Missing]) -> Result<(), Error> {
    let is_needed = |of: &&Missing| NEEDED.iter().any(|needed| needed.name == of.name());
    let missing: Vec<Missing> = missing.iter().filter(is_needed).cloned().collect();
    if missing.is_empty() { Ok(()) } else { Err(Error::Missing { hint: "is lb_plugin.so loaded?", missing }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugin_is_told_by_lb_conf_get() {
        let absent = |names: &[Signature]| names.iter().copied().map(Missing::Absent).collect::<Vec<_>>();
        assert_eq!(plugin(&[]), Plugin::Weighted);
        let legacy = absent(&[Signature::of::<LbConfGet>(), Signature::of::<LbAddDelAsV2>()]);
        assert_eq!(plugin(&legacy), Plugin::Legacy);
        assert_eq!(plugin(&absent(NEEDED)), Plugin::Weighted);
        let error = needed(&absent(NEEDED)).unwrap_err();
        assert_eq!(error.reason(), "MessagesMissing");
        assert!(error.to_string().contains("is lb_plugin.so loaded?"), "{error}");
        assert!(error.to_string().contains("lb_as_v2_dump is not there"), "{error}");
        assert!(needed(&absent(&[Signature::of::<CliInband>()])).is_ok());
    }
}
