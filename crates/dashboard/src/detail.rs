//! Builds the documents of one node from its inputs.

mod frontend;
mod node_header;

pub use self::{frontend::frontend, node_header::node_header};
use super::{
    document::{
        BackendDetail, Foreign, HealthCheckDetail, NodeDocument, NodeRest, PastTransition, Position, ProblemDetail,
        Settings, Time, Vip, VppConfDetail, VppPanel,
    },
    inputs::Inputs,
};
use maglev_model::{
    Name,
    actual::{ActualConf, VppVip},
    config::{Check, Kind},
    health::{ProbeCode, Transition},
    view::View,
};

/// The whole document of a node.
pub fn node(inputs: &Inputs, now: Time) -> NodeDocument {
    let view = inputs.view();
    let frontends = view.frontends.keys().filter_map(|name| Some((name.to_string(), frontend(inputs, name)?)));
    let backends = view.backends.keys().filter_map(|name| Some((name.to_string(), backend(view, name)?)));
    let checks = view.health_checks.keys().filter_map(|name| Some((name.to_string(), health_check(view, name)?)));
    NodeDocument {
        node: inputs.state.node.clone(),
        as_of: inputs.as_of().map(Position),
        now,
        frontends: frontends.collect(),
        backends: backends.collect(),
        health_checks: checks.collect(),
        rest: rest(inputs),
    }
}

pub fn rest(inputs: &Inputs) -> NodeRest {
    let view = inputs.view();
    let foreign = view.vpp.iter().flat_map(|vpp| vpp.foreign.iter());
    NodeRest {
        vpp: vpp(inputs),
        foreign: foreign.map(|vip| (vip.to_string(), foreign_vip(vip))).collect(),
        settings: settings(view),
        claims_unknown: view.claims_unknown,
    }
}

/// A Backend; `None` if the node does not know it.
pub fn backend(view: &View, name: &Name) -> Option<BackendDetail> {
    let backend = view.backends.get(name)?;
    let health = view.backend_health(backend);
    let last = health.and_then(|health| health.history.last());
    let (check, check_type) = match &backend.check {
        Check::Probe(check) => (Some(check.name.to_string()), Some(check.probe.type_name())),
        Check::None | Check::Missing(_) | Check::NotSupported(_) => (None, None),
    };
    let history = health.iter().flat_map(|health| health.history.iter());
    let past = |transition: &Transition| PastTransition {
        from: transition.from.as_str(),
        to: transition.to.as_str(),
        at: Time(transition.at),
        code: transition.code.map(ProbeCode::as_str),
    };
    let mut problems = problems(view, Kind::Backend, name);
    if let Check::Missing(problem) | Check::NotSupported(problem) = &backend.check {
        let problem = ProblemDetail::from(problem);
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    Some(BackendDetail {
        address: backend.address.to_string(),
        admin_state: backend.admin_state.as_str(),
        state: view.backend_state(backend).as_str(),
        since: last.map(|last| Time(last.at)),
        code: last.and_then(|last| last.code).map(ProbeCode::as_str),
        check,
        check_type,
        in_doubt: health.is_some_and(|health| health.in_doubt),
        history: history.map(past).collect(),
        generation: backend.revision.generation,
        problems,
    })
}

/// A HealthCheck; `None` if the node does not know it.
pub fn health_check(view: &View, name: &Name) -> Option<HealthCheckDetail> {
    let check = view.health_checks.get(name)?;
    let ms = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Some(HealthCheckDetail {
        kind: check.probe.type_name(),
        interval_ms: ms(check.interval),
        fast_interval_ms: ms(check.fast_interval),
        down_interval_ms: ms(check.down_interval),
        timeout_ms: ms(check.timeout),
        rise: check.rise,
        fall: check.fall,
        generation: check.revision.generation,
        problems: problems(view, Kind::HealthCheck, name),
    })
}

pub fn problems(view: &View, kind: Kind, name: &Name) -> Vec<ProblemDetail> {
    view.object_problems(kind, name)
        .into_iter()
        .flat_map(|list| list.problems.iter())
        .map(ProblemDetail::from)
        .collect()
}

fn vpp(inputs: &Inputs) -> Option<VppPanel> {
    let vpp = inputs.view().vpp.as_ref()?;
    let traffic = inputs.traffic.as_ref();
    let boot_time =
        traffic.and_then(|traffic| jiff::Timestamp::from_second(i64::try_from(traffic.boot_time).ok()?).ok());
    Some(VppPanel {
        version: vpp.info.version.clone(),
        build_date: vpp.info.build_date.clone(),
        pid: vpp.info.pid,
        capabilities: vpp.info.capabilities.clone(),
        since: Time(vpp.since),
        boot_time: boot_time.map(Time),
        heartbeat: traffic.map(|traffic| traffic.heartbeat),
        weights: !vpp.weightless,
        conf: vpp.conf.as_ref().map(conf),
        vips: vpp.vips.len(),
        application_servers: vpp.vips.values().map(|vip| vip.servers.len()).sum(),
        dump_at: inputs.state.dump.as_ref().map(|dump| Time(dump.at)),
        counters_at: traffic.map(|traffic| Time(traffic.read_at)),
        sticky_tables: traffic.map(|traffic| traffic.sticky_tables.clone()).unwrap_or_default(),
    })
}

fn conf(conf: &ActualConf) -> VppConfDetail {
    let known_value = |number: u32| (number != ActualConf::UNKNOWN).then_some(number);
    VppConfDetail {
        ipv4_source: conf.ipv4().map(|address| address.to_string()),
        ipv6_source: conf.ipv6().map(|address| address.to_string()),
        sticky_buckets_per_core: known_value(conf.sticky_buckets_per_core),
        flow_timeout_s: known_value(conf.flow_timeout),
    }
}

fn foreign_vip(vip: &VppVip) -> Foreign {
    let protocol = vip.protocol_text().to_string();
    Foreign { vip: Vip { address: vip.address.to_string(), protocol, port: vip.port }, length: vip.length }
}

fn settings(view: &View) -> Option<Settings> {
    let node = view.node.as_ref()?;
    Some(Settings {
        load_balancer_config: node.load_balancer_config.as_ref().map(Name::to_string),
        sync_interval_s: node.sync.interval.as_secs(),
        foreign_vips: node.sync.foreign_vips.as_str(),
        mass_removal_hold_s: node.sync.mass_removal_hold.as_secs(),
        fail_open: node.probe.fail_open,
    })
}
