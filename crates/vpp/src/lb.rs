//! What the agent asks of VPP's lb plugin, in the model's types.
//!
//! Each operation is queued when it is called; its future is the answer. So a caller issues many and
//! then waits, and VPP does them in the order of the calls. What VPP makes of them is decided in the
//! model, not here.
//!
//! Plugins differ: see [`Plugin`]. Whatever an older one needs is in `legacy`, chosen by [`Plugin`], so
//! that outside this room only its lack of weights is noticed ([`Actual::weightless`]).

mod legacy;
mod plugin;
mod read;
mod route;

use std::{fmt, net::IpAddr, path::Path};

use futures::future::Either;

pub use self::{legacy::ConfMemory, plugin::Plugin, read::merge};
use super::{
    cli, errno,
    error::{CloseReason, Error},
    messages::{
        Request,
        lb::{
            LbAddDelAs, LbAddDelAsV2, LbAddDelVipV2, LbAsSetWeight, LbAsV2Dump, LbConf, LbConfGet, LbVipDump,
            SRV_CLUSTERIP, WireVip,
        },
        memclnt::ControlPing,
        vlib::CliInband,
        vpe::ShowVersion,
    },
    session::{Missing, Session, SessionOptions},
};
use maglev_model::{
    actual::{Actual, ActualConf, ActualEncap, VppVip},
    vip::{Encap, TableLength, VipKey, Weight},
};

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
    /// What this build knows and this VPP does not speak.
    pub missing: Vec<Missing>,
}

/// A session with a VPP whose lb plugin can be driven. A clone is a handle to the same session.
#[derive(Clone, Debug)]
pub struct Lb {
    session: Session,
    info: VppInfo,
    plugin: Plugin,
    memory: ConfMemory,
}

impl Lb {
    /// Connects to the API socket at `path`, with nothing known of an earlier session.
    ///
    /// # Errors
    /// As [`Session::connect`]; [`Error::Missing`] naming the lb messages that are not there.
    pub async fn connect(path: &Path, options: SessionOptions) -> Result<Self, Error> {
        Self::connect_again(path, options, ConfMemory::default()).await
    }

    /// The same, with the `memory` of earlier sessions. What VPP lacks is told in one warning; what can
    /// work without it does.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn connect_again(path: &Path, options: SessionOptions, memory: ConfMemory) -> Result<Self, Error> {
        let session = Session::connect(path, options).await?;
        let (version, ping) = (session.call(&ShowVersion {}), session.call(&ControlPing {}));
        let (version, ping) = (version.await?, ping.await?);
        let plugin = Plugin::of(session.missing());
        plugin.check(session.missing())?;
        let info = VppInfo {
            version: version.version.as_str().to_owned(),
            build_date: version.build_date.as_str().to_owned(),
            pid: ping.vpe_pid,
            capabilities: Capabilities { weights: plugin == Plugin::Weighted },
            missing: session.missing().to_vec(),
        };
        if !info.missing.is_empty() {
            let missing: Vec<String> = info.missing.iter().map(ToString::to_string).collect();
            tracing::warn!("VPP {} does not speak all that is known here: {}", info.version, missing.join(", "));
        }
        Ok(Self { session, info, plugin, memory })
    }

    /// Which VPP this is.
    pub fn info(&self) -> &VppInfo {
        &self.info
    }

    /// The session, for what is not about the lb plugin.
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

    /// The plugin's global settings. An old plugin tells its sources only; the numbers are those that
    /// were last set, or [`ActualConf::UNKNOWN`].
    pub fn conf(&self) -> impl Future<Output = Result<ActualConf, Error>> + Send + use<> {
        match self.plugin {
            Plugin::Weighted => Either::Left(self.conf_get()),
            Plugin::Legacy => Either::Right(self.conf_shown()),
        }
    }

    fn conf_shown(&self) -> impl Future<Output = Result<ActualConf, Error>> + Send + use<> {
        let text = self.shown(cli::SHOW_LB);
        let (memory, pid) = (self.memory.clone(), self.info.pid);
        async move { Ok(memory.conf(pid, cli::parse_sources(&text.await?))) }
    }

    /// What the CLI prints; nothing where VPP does not let us ask.
    fn shown(&self, command: &str) -> impl Future<Output = Result<String, Error>> + Send + use<> {
        let reply = self.session.call(&CliInband { cmd: command.to_owned() });
        async move {
            match reply.await {
                Ok(reply) => Ok(reply.reply),
                Err(Error::Refused { .. } | Error::Swallowed { .. } | Error::Missing { .. }) => Ok(String::new()),
                Err(error) => Err(error),
            }
        }
    }

    fn conf_get(&self) -> impl Future<Output = Result<ActualConf, Error>> + Send + use<> {
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
        let done = self.done(&LbConf {
            ip4_src_address: conf.ipv4_source,
            ip6_src_address: conf.ipv6_source,
            sticky_buckets_per_core: conf.sticky_buckets_per_core,
            flow_timeout: conf.flow_timeout,
        });
        let (memory, pid) = (self.memory.clone(), self.info.pid);
        async move {
            done.await?;
            memory.keep(pid, conf);
            Ok(())
        }
    }

    /// All that VPP has, read at one place in the order of the calls. Affinity and pool index are
    /// `None` where the CLI's text does not tell them. Of an old plugin, the text is all there is.
    pub fn read(&self) -> impl Future<Output = Result<Actual, Error>> + Send + use<> {
        match self.plugin {
            Plugin::Weighted => Either::Left(self.read_dumps()),
            Plugin::Legacy => Either::Right(self.read_text()),
        }
    }

    /// Text that VPP does not give is an error here: it must not pass for a VPP that has nothing.
    fn read_text(&self) -> impl Future<Output = Result<Actual, Error>> + Send + use<> {
        let reply = self.session.call(&CliInband { cmd: cli::SHOW_VIPS.to_owned() });
        async move { Ok(legacy::actual(cli::parse_vips(&reply.await?.reply))) }
    }

    fn read_dumps(&self) -> impl Future<Output = Result<Actual, Error>> + Send + use<> {
        let vips = self.session.dump(&LbVipDump::ALL);
        let ases = self.session.dump(&LbAsV2Dump { vip: WireVip::ZERO });
        let text = self.shown(cli::SHOW_VIPS);
        async move {
            let (vips, ases) = (vips.await?, ases.await?);
            Ok(merge(&vips, &ases, &cli::parse_vips(&text.await?)))
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
            vip: self.vip(key.into()),
            encap: self.encap(encap.kind),
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
            vip: self.vip(vip),
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

    /// Adds an application server. `flush` forgets the flows pinned to an earlier life of it. An old
    /// plugin takes neither weight nor flush here.
    pub fn add_as(
        &self,
        vip: VppVip,
        address: IpAddr,
        weight: Weight,
        flush: bool,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let (vip, weight) = (self.vip(vip), weight.get());
        match self.plugin {
            Plugin::Weighted => Either::Left(self.done(&LbAddDelAsV2 {
                vip,
                as_address: address,
                weight,
                is_del: false,
                is_flush: flush,
            })),
            Plugin::Legacy => {
                Either::Right(self.done(&LbAddDelAs { vip, as_address: address, is_del: false, is_flush: false }))
            }
        }
    }

    /// Removes an application server. `flush` forgets the flows pinned to it. With an old plugin one
    /// that is gone already is a success: removing is how flows are flushed there.
    pub fn remove_as(
        &self,
        vip: VppVip,
        address: IpAddr,
        flush: bool,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let vip = self.vip(vip);
        match self.plugin {
            Plugin::Weighted => Either::Left(self.done(&LbAddDelAsV2 {
                vip,
                as_address: address,
                weight: 0,
                is_del: true,
                is_flush: flush,
            })),
            Plugin::Legacy => {
                let done = self.done(&LbAddDelAs { vip, as_address: address, is_del: true, is_flush: flush });
                Either::Right(async move {
                    match done.await {
                        Err(error) if error.retval() == Some(errno::NO_SUCH_ENTRY) => Ok(()),
                        done => done,
                    }
                })
            }
        }
    }

    /// Sets the weight of a live application server. `flush` forgets the flows pinned to it. No old
    /// plugin has this message.
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

    fn vip(&self, vip: VppVip) -> WireVip {
        match self.plugin {
            Plugin::Weighted => vip.into(),
            Plugin::Legacy => legacy::vip(vip),
        }
    }

    fn encap(&self, kind: u32) -> u32 {
        match self.plugin {
            Plugin::Weighted => kind,
            Plugin::Legacy => legacy::encap(kind),
        }
    }

    fn done<R: Request>(&self, request: &R) -> impl Future<Output = Result<(), Error>> + Send + use<R> {
        let reply = self.session.call(request);
        async move { reply.await.map(drop) }
    }
}
