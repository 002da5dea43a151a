//! Reads a LoadBalancerConfig. If the object does not decode, its readable blocks are read.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};

use super::{Invalid, Unreadable, decodes_as, field, unreadable};
use crate::{node::NodeRead, services::ServiceSettings};
use maglev_crd::{Ipv4Source, Ipv6Source, LoadBalancerConfigSpec, Network, PowerOfTwo, Probe, Services, Sync, Vpp};
use maglev_model::{
    Name,
    config::{Kind, ProbeConf, SyncConf, VppConf},
    problem::Problem,
};

/// Reads the LoadBalancerConfig `name`.
pub fn load_balancer_config(name: &Name, spec: Result<&LoadBalancerConfigSpec, &Unreadable>) -> NodeRead {
    match spec {
        Ok(spec) => NodeRead {
            selector: Some(spec.node_selector.clone().unwrap_or_default()),
            vpp: vpp(&spec.vpp),
            sync: sync(&spec.sync),
            probe: probing(&spec.probe),
            never: spec.never_addresses.iter().map(|network| network.get()).collect(),
            services: spec.services.as_ref().map(ServiceSettings::from),
            problems: empty_selector(name, spec).into_iter().collect(),
        },
        Err(undecoded) => raw(name, undecoded),
    }
}

/// The problem of a selector without labels, in an object that was stored before the schema refused it. YAML without a
/// value (`{edge: }`) is stored as such a selector.
fn empty_selector(name: &Name, spec: &LoadBalancerConfigSpec) -> Option<Problem> {
    spec.node_selector.as_ref().filter(|selector| selector.is_empty())?;
    let what = "is empty, which selects every Node: give each label a value, or leave out nodeSelector";
    Some(Invalid::new("spec.nodeSelector", what).problem(Kind::LoadBalancerConfig, name))
}

fn raw(name: &Name, undecoded: &Unreadable) -> NodeRead {
    let fields: [(_, super::FieldDecoder); 6] = [
        ("nodeSelector", decodes_as::<BTreeMap<String, String>>),
        ("vpp", decodes_as::<Vpp>),
        ("sync", decodes_as::<Sync>),
        ("probe", decodes_as::<Probe>),
        ("services", decodes_as::<Services>),
        ("neverAddresses", decodes_as::<Vec<Network>>),
    ];
    let outcome = "until it is corrected, its readable blocks apply, VPP keeps its settings, and the other blocks have \
                   their defaults";
    let problems = vec![unreadable(Kind::LoadBalancerConfig, name, undecoded, &fields, outcome)];
    let selector = match field(&undecoded.spec, "nodeSelector").map(BTreeMap::deserialize).transpose() {
        Ok(selector) => undecoded.spec.is_object().then(|| selector.unwrap_or_default()),
        Err(_) => None,
    };
    NodeRead {
        selector,
        vpp: vpp(&block(undecoded, "vpp")),
        sync: sync(&block(undecoded, "sync")),
        probe: probing(&block(undecoded, "probe")),
        never: block::<Vec<Network>>(undecoded, "neverAddresses").into_iter().map(Network::get).collect(),
        services: block::<Option<Services>>(undecoded, "services").as_ref().map(ServiceSettings::from),
        problems,
    }
}

fn block<T: DeserializeOwned + Default>(undecoded: &Unreadable, name: &str) -> T {
    field(&undecoded.spec, name).and_then(|block| T::deserialize(block).ok()).unwrap_or_default()
}

fn vpp(spec: &Vpp) -> VppConf {
    VppConf {
        ipv4_source: spec.ipv4_source_address.map(Ipv4Source::get),
        ipv6_source: spec.ipv6_source_address.map(Ipv6Source::get),
        sticky_buckets_per_core: spec.sticky_buckets_per_core.map(PowerOfTwo::get),
        flow_timeout: spec.flow_timeout.and_then(|timeout| u32::try_from(timeout.get().as_secs()).ok()),
        max_table_entries: u32::try_from(spec.max_table_entries.get()).unwrap_or(VppConf::MAX_TABLE_ENTRIES),
    }
}

fn sync(spec: &Sync) -> SyncConf {
    SyncConf {
        interval: spec.interval.get(),
        startup_min_delay: spec.startup_min_delay.get(),
        startup_max_delay: spec.startup_max_delay.get(),
        foreign_vips: spec.foreign_vips.into(),
        mass_removal_hold: spec.mass_removal_hold.get(),
    }
}

fn probing(spec: &Probe) -> ProbeConf {
    ProbeConf {
        ipv4_source: spec.ipv4_source_address.map(Ipv4Source::get),
        ipv6_source: spec.ipv6_source_address.map(Ipv6Source::get),
        transition_history: usize::try_from(spec.transition_history.get()).unwrap_or_default(),
        fail_open: spec.fail_open,
    }
}
