//! Settings of a node.

use super::{
    Malformed,
    scalar::{duration, read_duration, read_optional_address, text},
};
use crate::proto;
use maglev_model::{
    config::{ForeignVips, NodeConfig, ProbeConf, SyncConf, VppConf},
    name::Name,
};

impl From<&NodeConfig> for proto::NodeConfig {
    fn from(node: &NodeConfig) -> Self {
        let NodeConfig { load_balancer_config, internal_ipv4, internal_ipv6, vpp, sync, probe } = node;
        Self {
            load_balancer_config: load_balancer_config.as_ref().map(Name::to_string),
            internal_ipv4: text(*internal_ipv4),
            internal_ipv6: text(*internal_ipv6),
            vpp: Some(vpp.into()),
            sync: Some(sync.into()),
            probe: Some(probe.into()),
        }
    }
}

impl TryFrom<proto::NodeConfig> for NodeConfig {
    type Error = Malformed;

    fn try_from(node: proto::NodeConfig) -> Result<Self, Malformed> {
        Ok(Self {
            load_balancer_config: node.load_balancer_config.as_deref().map(Name::from),
            internal_ipv4: read_optional_address(&node.internal_ipv4, "internal_ipv4")?,
            internal_ipv6: read_optional_address(&node.internal_ipv6, "internal_ipv6")?,
            vpp: node.vpp.ok_or(Malformed::missing("vpp"))?.try_into()?,
            sync: node.sync.ok_or(Malformed::missing("sync"))?.try_into()?,
            probe: node.probe.ok_or(Malformed::missing("probe"))?.try_into()?,
        })
    }
}

impl From<&VppConf> for proto::VppConf {
    fn from(conf: &VppConf) -> Self {
        let VppConf { ipv4_source, ipv6_source, sticky_buckets_per_core, flow_timeout, max_table_entries } = *conf;
        Self {
            ipv4_source: text(ipv4_source),
            ipv6_source: text(ipv6_source),
            sticky_buckets_per_core,
            flow_timeout,
            max_table_entries: Some(max_table_entries),
        }
    }
}

impl TryFrom<proto::VppConf> for VppConf {
    type Error = Malformed;

    fn try_from(conf: proto::VppConf) -> Result<Self, Malformed> {
        Ok(Self {
            ipv4_source: read_optional_address(&conf.ipv4_source, "ipv4_source")?,
            ipv6_source: read_optional_address(&conf.ipv6_source, "ipv6_source")?,
            sticky_buckets_per_core: conf.sticky_buckets_per_core,
            flow_timeout: conf.flow_timeout,
            max_table_entries: conf.max_table_entries.unwrap_or(Self::MAX_TABLE_ENTRIES),
        })
    }
}

impl From<&SyncConf> for proto::SyncConf {
    fn from(conf: &SyncConf) -> Self {
        let SyncConf { interval, startup_min_delay, startup_max_delay, foreign_vips, mass_removal_hold } = *conf;
        Self {
            interval: duration(interval),
            startup_min_delay: duration(startup_min_delay),
            startup_max_delay: duration(startup_max_delay),
            remove_foreign_vips: foreign_vips == ForeignVips::Remove,
            mass_removal_hold: duration(mass_removal_hold),
        }
    }
}

impl TryFrom<proto::SyncConf> for SyncConf {
    type Error = Malformed;

    fn try_from(conf: proto::SyncConf) -> Result<Self, Malformed> {
        Ok(Self {
            interval: read_duration(conf.interval, "interval")?,
            startup_min_delay: read_duration(conf.startup_min_delay, "startup_min_delay")?,
            startup_max_delay: read_duration(conf.startup_max_delay, "startup_max_delay")?,
            foreign_vips: if conf.remove_foreign_vips { ForeignVips::Remove } else { ForeignVips::Keep },
            mass_removal_hold: read_duration(conf.mass_removal_hold, "mass_removal_hold")?,
        })
    }
}

impl From<&ProbeConf> for proto::ProbeConf {
    fn from(conf: &ProbeConf) -> Self {
        let ProbeConf { ipv4_source, ipv6_source, transition_history, fail_open } = *conf;
        let transition_history = u64::try_from(transition_history).unwrap_or(u64::MAX);
        Self { ipv4_source: text(ipv4_source), ipv6_source: text(ipv6_source), transition_history, fail_open }
    }
}

impl TryFrom<proto::ProbeConf> for ProbeConf {
    type Error = Malformed;

    fn try_from(conf: proto::ProbeConf) -> Result<Self, Malformed> {
        Ok(Self {
            ipv4_source: read_optional_address(&conf.ipv4_source, "ipv4_source")?,
            ipv6_source: read_optional_address(&conf.ipv6_source, "ipv6_source")?,
            transition_history: usize::try_from(conf.transition_history).unwrap_or(usize::MAX),
            fail_open: conf.fail_open,
        })
    }
}
