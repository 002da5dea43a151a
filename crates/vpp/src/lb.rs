//! Operations of VPP's lb plugin, in the model's types.
//!
//! Each operation is queued when it is called; its future resolves to the reply. So a caller issues many operations and
//! then waits, and VPP executes them in the order of the calls.
//!
//! Plugins differ: see [`Plugin`]. The code for older plugins is in `legacy`, selected by [`Plugin`], so that outside
//! of this crate only the missing weights are visible ([`Actual::weightless`]).

mod legacy;
mod plugin;
mod read;
mod route;

use std::{net::IpAddr, path::Path, sync::Arc};

use futures::{TryFutureExt as _, future::Either};
use parking_lot::Mutex;

use self::read::PartialReading;
pub use self::{
    legacy::ConfCache,
    plugin::{Capabilities, Plugin},
    read::LbReading,
};
use super::{
    cli::{self, Garbage, VipReader},
    errno,
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
    session::{MissingMessage, Session, SessionOptions},
};
use maglev_model::{
    ServerMap,
    actual::{Actual, ActualAs, ActualConf, ActualEncap, VppVip},
    counters::StickyTable,
    vip::{Encap, TableLength, VipKey, Weight},
};

/// Properties of this VPP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VppInfo {
    /// For example `26.10-rc0~374-gb575ec2c56d`.
    pub version: String,
    /// For example `2026-11-22T22:48:06`.
    pub build_date: String,
    /// VPP's process id, in VPP's PID namespace.
    pub pid: u32,
    pub capabilities: Capabilities,
    /// Known messages that this VPP lacks.
    pub missing: Vec<MissingMessage>,
}

/// A session with a VPP that has a usable lb plugin. Clones share the session.
#[derive(Clone, Debug)]
pub struct Lb {
    session: Session,
    info: VppInfo,
    plugin: Plugin,
    conf_cache: ConfCache,
}

impl Lb {
    /// Connects to the API socket at `path`, with an empty cache of settings.
    ///
    /// # Errors
    /// Like [`Session::connect`]; [`Error::Missing`] with the lb messages that VPP lacks.
    pub async fn connect(path: &Path, options: SessionOptions) -> Result<Self, Error> {
        Self::connect_with_cache(path, options, ConfCache::default()).await
    }

    /// Connects with the `conf_cache` of earlier sessions. The messages that VPP lacks are logged in one warning.
    ///
    /// # Errors
    /// Like [`Self::connect`].
    pub async fn connect_with_cache(
        path: &Path,
        options: SessionOptions,
        conf_cache: ConfCache,
    ) -> Result<Self, Error> {
        let session = Session::connect(path, options).await?;
        let (version, ping) = (session.call(&ShowVersion {}), session.call(&ControlPing {}));
        let (version, ping) = (version.await?, ping.await?);
        let plugin = Plugin::detect(session.missing());
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
            tracing::warn!(version = info.version, missing = missing.join(", "), "VPP lacks known API messages");
        }
        Ok(Self { session, info, plugin, conf_cache })
    }

    /// Properties of this VPP.
    pub fn info(&self) -> &VppInfo {
        &self.info
    }

    /// The session, for requests to other parts of VPP.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// A future that resolves to the reason when the session has ended.
    pub fn closed(&self) -> impl Future<Output = CloseReason> + Send + use<> {
        self.session.closed()
    }

    /// Checks that VPP responds.
    pub fn ping(&self) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        self.execute(&ControlPing {})
    }

    /// Reads the plugin's global settings. A legacy plugin reports its source addresses only; the other values are
    /// those last set, or [`ActualConf::UNKNOWN`].
    pub fn conf(&self) -> impl Future<Output = Result<ActualConf, Error>> + Send + use<> {
        match self.plugin {
            Plugin::Weighted => Either::Left(self.conf_get()),
            Plugin::Legacy => Either::Right(self.conf_from_cli()),
        }
    }

    fn conf_from_cli(&self) -> impl Future<Output = Result<ActualConf, Error>> + Send + use<> {
        let text = self.cli_output(cli::SHOW_LB);
        let (conf_cache, pid) = (self.conf_cache.clone(), self.info.pid);
        async move { Ok(conf_cache.conf(pid, cli::parse_sources(&text.await?))) }
    }

    /// The output of a CLI command; empty if VPP refuses CLI commands.
    fn cli_output(&self, command: &str) -> impl Future<Output = Result<String, Error>> + Send + use<> {
        let reply = self.session.call(&CliInband { cmd: command.to_owned() });
        async move {
            match reply.await {
                Ok(reply) => Ok(reply.reply),
                Err(Error::Refused { .. } | Error::Unanswered { .. } | Error::Missing { .. }) => Ok(String::new()),
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

    /// Writes all global settings of the plugin. A changed number of buckets drops the sticky table of every worker.
    pub fn set_conf(&self, conf: ActualConf) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let done = self.execute(&LbConf {
            ip4_src_address: conf.ipv4_source,
            ip6_src_address: conf.ipv6_source,
            sticky_buckets_per_core: conf.sticky_buckets_per_core,
            flow_timeout: conf.flow_timeout,
        });
        let (conf_cache, pid) = (self.conf_cache.clone(), self.info.pid);
        async move {
            done.await?;
            conf_cache.record(pid, conf);
            Ok(())
        }
    }

    /// Reads all VIPs and application servers; see [`Self::read_all`].
    pub fn read(&self) -> impl Future<Output = Result<Actual, Error>> + Send + use<> {
        self.read_all(LbReading::default()).map_ok(|reading| reading.actual)
    }

    /// Reads all VIPs and application servers, at one position in the order of the calls. Affinity and pool index are `None`,
    /// flows and routes absent, if the CLI's text lacks them. From a legacy plugin, only the text is read. The reading shares the
    /// memory of what has not changed since the reading `before`.
    ///
    /// The future fails with [`Error::Incomplete`] if a dump lacks an object that the text shows.
    pub fn read_all(&self, before: LbReading) -> impl Future<Output = Result<LbReading, Error>> + Send + use<> {
        match self.plugin {
            Plugin::Weighted => Either::Left(self.read_dumps(before)),
            Plugin::Legacy => Either::Right(self.read_text()),
        }
    }

    /// Reads the application servers of one VIP, at one position in the order of the calls; `None` for a legacy plugin, which
    /// does not report weights. A VIP that VPP does not have has no servers.
    pub fn read_servers(
        &self,
        vip: VppVip,
    ) -> Option<impl Future<Output = Result<ServerMap<ActualAs>, Error>> + Send + use<>> {
        (self.plugin == Plugin::Weighted).then(|| {
            let dump = self.session.dump(&LbAsV2Dump { vip: WireVip::selecting(vip) });
            async move {
                let ases = dump.await?;
                let of_vip = ases.iter().filter(|server| VppVip::from(server.vip) == vip);
                Ok(of_vip.filter_map(read::server).collect())
            }
        })
    }

    /// Collects deleted VIPs and removed servers of a legacy plugin, which keeps them otherwise; other plugins collect by
    /// themselves. Nothing is collected beside a NAT VIP. Resolves to true if there was garbage.
    pub fn collect_garbage(&self) -> Option<impl Future<Output = Result<bool, Error>> + Send + use<>> {
        let session = self.session.clone();
        let run = move |command: &str| session.call(&CliInband { cmd: command.to_owned() });
        (self.plugin == Plugin::Legacy).then_some(async move {
            let garbage = cli::find_garbage(&run(cli::SHOW_VIPS).await?.reply);
            if garbage == Garbage::Collectable
                && let Some(command) = cli::collect_garbage(cli::parse_sources(&run(cli::SHOW_LB).await?.reply))
            {
                run(&command).await?;
            }
            Ok(garbage != Garbage::None)
        })
    }

    /// Reads the CLI's text only. An unavailable text is an error here, because it would look like a VPP without VIPs.
    fn read_text(&self) -> impl Future<Output = Result<LbReading, Error>> + Send + use<> {
        let text = Arc::new(Mutex::new((VipReader::default(), Vec::new())));
        let into = Arc::clone(&text);
        let done = self.session.cli_output(cli::SHOW_VIPS, move |piece| {
            let (reader, shown) = &mut *into.lock();
            reader.read(piece, |vip| shown.push(vip));
        });
        async move {
            done.await?;
            let (reader, mut shown) = std::mem::take(&mut *text.lock());
            reader.finish(|vip| shown.push(vip));
            Ok(legacy::reading(shown))
        }
    }

    fn read_dumps(&self, before: LbReading) -> impl Future<Output = Result<LbReading, Error>> + Send + use<> {
        let partial = Arc::new(Mutex::new(PartialReading::new(before)));
        let (for_vips, for_ases, for_text) = (Arc::clone(&partial), Arc::clone(&partial), Arc::clone(&partial));
        let vips = self.session.dump_each(&LbVipDump::ALL, move |vip| for_vips.lock().add_vip(&vip));
        let ases = LbAsV2Dump { vip: WireVip::ZERO };
        let ases = self.session.dump_each(&ases, move |server| for_ases.lock().add_server(&server));
        let text = self.session.cli_output(cli::SHOW_VIPS, move |piece| for_text.lock().add_text(piece));
        async move {
            vips.await?;
            ases.await?;
            match text.await {
                // Without CLI commands. A lost text is an error: it alone shows that a dump is incomplete.
                Ok(()) | Err(Error::Refused { .. } | Error::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
            let partial = std::mem::take(&mut *partial.lock());
            partial.finish()
        }
    }

    /// Reads the usage of the sticky tables. VPP scans all tables for it on its main thread. Empty if no thread has a
    /// table yet, or if VPP refuses CLI commands.
    pub fn sticky_tables(&self) -> impl Future<Output = Result<Vec<StickyTable>, Error>> + Send + use<> {
        self.cli_output(cli::SHOW_LB).map_ok(|text| cli::parse_sticky_tables(&text))
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
        self.execute(&LbAddDelVipV2 {
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

    /// Removes a VIP. Remove its application servers first, with flush.
    pub fn remove_vip(&self, vip: VppVip) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        self.execute(&LbAddDelVipV2 {
            vip: self.vip(vip),
            encap: 0,
            dscp: 0,
            srv_type: SRV_CLUSTERIP,
            target_port: 0,
            node_port: 0,
            // Unused by VPP in a removal, but 0 is treated as in an add, which exhausts VPP's memory.
            new_flows_table_length: TableLength::DEFAULT.get().into(),
            src_ip_sticky: false,
            is_del: true,
        })
    }

    /// Adds an application server. `flush` drops flows pinned to an earlier incarnation of the server. A legacy plugin
    /// supports neither weight nor flush here.
    pub fn add_as(
        &self,
        vip: VppVip,
        address: IpAddr,
        weight: Weight,
        flush: bool,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let (vip, weight) = (self.vip(vip), weight.get());
        match self.plugin {
            Plugin::Weighted => Either::Left(self.execute(&LbAddDelAsV2 {
                vip,
                as_address: address,
                weight,
                is_del: false,
                is_flush: flush,
            })),
            Plugin::Legacy => {
                Either::Right(self.execute(&LbAddDelAs { vip, as_address: address, is_del: false, is_flush: false }))
            }
        }
    }

    /// Removes an application server. `flush` drops the flows pinned to it. With a legacy plugin, removing an absent
    /// server is a success: flows are flushed by a removal there.
    pub fn remove_as(
        &self,
        vip: VppVip,
        address: IpAddr,
        flush: bool,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let vip = self.vip(vip);
        match self.plugin {
            Plugin::Weighted => Either::Left(self.execute(&LbAddDelAsV2 {
                vip,
                as_address: address,
                weight: 0,
                is_del: true,
                is_flush: flush,
            })),
            Plugin::Legacy => {
                let done = self.execute(&LbAddDelAs { vip, as_address: address, is_del: true, is_flush: flush });
                Either::Right(async move {
                    match done.await {
                        Err(error) if error.retval() == Some(errno::NO_SUCH_ENTRY) => Ok(()),
                        done => done,
                    }
                })
            }
        }
    }

    /// Sets the weight of a live application server. `flush` drops the flows pinned to it. Legacy plugins lack this
    /// message.
    pub fn set_weight(
        &self,
        vip: VppVip,
        address: IpAddr,
        weight: Weight,
        flush: bool,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let weight = weight.get();
        self.execute(&LbAsSetWeight { vip: vip.into(), as_address: address, weight, is_flush: flush })
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

    fn execute<R: Request>(&self, request: &R) -> impl Future<Output = Result<(), Error>> + Send + use<R> {
        let reply = self.session.call(request);
        async move { reply.await.map(drop) }
    }
}
