//! The attributes of each event, in the order of `docs/events.md`.

use std::time::Duration;

use super::{Event, Scope, ServerRef, Value, VipRef};
use crate::{
    actual::{ActualConf, ActualEncap},
    config::Kind,
    health::ProbeCode,
    name::Name,
};

/// Called with the key and the value of each attribute, in order.
pub type FieldVisitor<'v> = dyn FnMut(&'static str, Value<'_>) + 'v;

impl Event {
    /// Calls `visit` with each attribute, in the documented order. Attributes with unknown values are omitted.
    pub fn fields(&self, visit: &mut FieldVisitor<'_>) {
        match self {
            Self::VppConnect { info, api, stats } => {
                visit("version", info.version.as_str().into());
                visit("build-date", info.build_date.as_str().into());
                visit("pid", info.pid.into());
                visit("api", api.as_str().into());
                visit("stats", stats.as_str().into());
                visit("capabilities", info.capabilities.as_str().into());
            }
            Self::VppConnectFailed { error, .. } => visit("error", error.as_str().into()),
            Self::VppDisconnect { reason } => visit("reason", reason.as_str().into()),
            Self::VppLbState { conf, actual } => {
                let servers = actual.vips.values().map(|vip| vip.ases.len()).sum();
                visit("vips", count(actual.vips.len()));
                visit("application-servers", count(servers));
                known_numbers(visit, conf);
            }
            Self::VppLbConfSet { conf } => {
                visit("ipv4-src", conf.ipv4_source.to_string().into());
                visit("ipv6-src", conf.ipv6_source.to_string().into());
                known_numbers(visit, conf);
            }
            Self::SyncStart { scope } => scope.fields(visit),
            Self::SyncDone { scope, counts, duration, flows, .. } => {
                scope.fields(visit);
                visit("vip-added", counts.vip_added.into());
                visit("vip-removed", counts.vip_removed.into());
                visit("as-added", counts.as_added.into());
                visit("as-removed", counts.as_removed.into());
                visit("as-weight-updated", counts.as_weight_updated.into());
                if let Some(percent) = flows.buckets_moved {
                    visit("buckets-moved", Value::Float(percent));
                }
                if let Some(flushed) = flows.flushed {
                    visit("flows-flushed", flushed.into());
                }
                visit("duration-ms", milliseconds(*duration));
            }
            Self::VipAdded { vip, state } => {
                vip.fields(visit);
                visit("encap", state.encap.map_or("unknown", ActualEncap::as_str).into());
            }
            Self::VipRemoved { vip, encap } => {
                vip.fields(visit);
                visit("encap", (*encap).into());
            }
            Self::VipRecreate { vip, encap, reason, .. } => {
                vip.fields(visit);
                visit("encap", (*encap).into());
                visit("reason", reason.as_str().into());
            }
            Self::AsAdded { server, weight, flush } | Self::AsRemoved { server, weight, flush } => {
                server.fields(visit);
                visit("weight", (*weight).into());
                visit("flush", (*flush).into());
            }
            Self::AsWeightUpdated { server, from, to, flush } => {
                server.fields(visit);
                visit("from", (*from).into());
                visit("to", (*to).into());
                visit("flush", (*flush).into());
            }
            Self::SyncError { vip, step, error } => {
                if let Some(vip) = vip {
                    vip.name_and_address(visit);
                }
                visit("step", (*step).into());
                visit("error", error.as_str().into());
            }
            Self::SyncHeld { hold } => {
                visit("hold", (&*hold.id).into());
                match &hold.change {
                    None => {
                        visit("reason", "mass-removal".into());
                        visit("removals", hold.removals.into());
                    }
                    Some(change) => {
                        visit("reason", "disruption".into());
                        visit("frontend", change.frontend.as_str().into());
                        visit("moved-percent", Value::Float(change.moved_percent()));
                    }
                }
                visit("until", format!("{:.0}", hold.until).into());
            }
            Self::SyncReleased { hold, by } => {
                visit("hold", (&**hold).into());
                visit("by", by.as_str().into());
            }
            Self::ForeignVip { vip } => {
                visit("vip", format!("{}/{}", vip.address, vip.length).into());
                visit("protocol", vip.protocol_text());
                visit("port", vip.port.into());
            }
            Self::ProbePathSuspect { family, active } => {
                visit("family", family.as_str().into());
                visit("active", (*active).into());
            }
            Self::BackendTransition { name, from, code, health } => {
                transition(visit, name, from.as_str(), health.state.as_str(), *code);
            }
            Self::DrainTransition { name, from, drain } => {
                visit("name", name.as_str().into());
                if let Some(from) = from {
                    visit("from", from.as_str().into());
                }
                visit("to", drain.state.as_str().into());
                if let Some(flows) = drain.flows {
                    visit("flows", flows.into());
                }
            }
            Self::DrainDeadline { name, action, vips } => {
                visit("name", name.as_str().into());
                visit("action", action.as_str().into());
                visit("vips", (*vips).into());
            }
            Self::PathTransition { path, from, health } => {
                visit("frontend", path.frontend.as_str().into());
                visit("backend", path.backend.as_str().into());
                visit("from", from.as_str().into());
                visit("to", health.state.as_str().into());
                if !health.detail.is_empty() {
                    visit("detail", (&*health.detail).into());
                }
            }
            Self::FrontendTransition { name, from, to, code } => {
                transition(visit, name, from.as_str(), to.as_str(), *code);
            }
            Self::ProbeStart { backend, kind } => {
                visit("backend", backend.as_str().into());
                visit("type", (*kind).into());
            }
            Self::ProbeDone { backend, kind, code, duration } => {
                visit("backend", backend.as_str().into());
                visit("type", (*kind).into());
                visit("code", code.as_str().into());
                visit("result", code.result().into());
                visit("duration-ms", milliseconds(*duration));
            }
            Self::VppApiSend { msg } | Self::VppApiRecv { msg } => visit("msg", (*msg).into()),
            Self::ConfigApplied { kind, name, generation } => {
                object(visit, *kind, name);
                visit("generation", (*generation).into());
            }
            Self::ConfigListed { kind, count } => {
                visit("kind", kind.as_str().into());
                visit("count", (*count).into());
            }
            Self::ConfigRemoved { kind, name } => object(visit, *kind, name),
            Self::ConfigRejected { kind, name, generation, field, reason, message } => {
                object(visit, *kind, name);
                visit("generation", (*generation).into());
                visit("field", field.as_str().into());
                visit("reason", reason.as_str().into());
                visit("message", message.as_str().into());
            }
            Self::FrontendProgrammed { name, report } => {
                visit("name", name.as_str().into());
                visit("generation", report.generation.into());
                visit("result", report.result.as_str().into());
                if !report.reason.is_empty() {
                    visit("reason", (&*report.reason).into());
                }
            }
        }
    }
}

impl Scope {
    fn fields(self, visit: &mut FieldVisitor<'_>) {
        match self {
            Self::All => visit("scope", "all".into()),
            Self::Address(address) => visit("scope", address.into()),
        }
    }
}

impl VipRef {
    fn name_and_address(&self, visit: &mut FieldVisitor<'_>) {
        if let Some(frontend) = &self.frontend {
            visit("frontend", frontend.as_str().into());
        }
        match self.vip.is_host() {
            true => visit("vip", self.vip.address.into()),
            false => visit("vip", format!("{}/{}", self.vip.address, self.vip.length).into()),
        }
    }

    fn fields(&self, visit: &mut FieldVisitor<'_>) {
        self.name_and_address(visit);
        visit("protocol", self.vip.protocol_text());
        visit("port", self.vip.port.into());
    }
}

impl ServerRef {
    fn fields(&self, visit: &mut FieldVisitor<'_>) {
        self.vip.fields(visit);
        if let Some(backend) = &self.backend {
            visit("backend", backend.as_str().into());
        }
        visit("as", self.address.into());
    }
}

fn transition(
    visit: &mut FieldVisitor<'_>,
    name: &Name,
    from: &'static str,
    to: &'static str,
    code: Option<ProbeCode>,
) {
    visit("name", name.as_str().into());
    visit("from", from.into());
    visit("to", to.into());
    if let Some(code) = code {
        visit("code", code.as_str().into());
    }
}

/// Visits the global numbers that VPP reports; releases up to 26.06 do not report them.
fn known_numbers(visit: &mut FieldVisitor<'_>, conf: &ActualConf) {
    let numbers = [("sticky-buckets-per-core", conf.sticky_buckets_per_core), ("flow-timeout", conf.flow_timeout)];
    for (key, number) in numbers {
        if number != ActualConf::UNKNOWN {
            visit(key, number.into());
        }
    }
}

fn object(visit: &mut FieldVisitor<'_>, kind: Kind, name: &Name) {
    visit("kind", kind.as_str().into());
    visit("name", name.as_str().into());
}

fn count(number: usize) -> Value<'static> {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn milliseconds(duration: Duration) -> Value<'static> {
    Value::Float(duration.as_secs_f64() * 1000.0)
}
