//! Every event's attributes, in the documented order.

use std::time::Duration;

use super::{AsRef, Event, Scope, Value, VipRef};
use crate::{actual::ActualConf, config::Kind, health::ProbeCode, name::Name};

/// Takes each attribute in order.
pub type Visit<'v> = dyn FnMut(&'static str, Value<'_>) + 'v;

impl Event {
    /// Hands every attribute to `visit`, in the documented order. One that is not known is left out.
    pub fn fields(&self, visit: &mut Visit<'_>) {
        match self {
            Self::VppConnect { version, build_date, pid, api, stats, capabilities } => {
                visit("version", version.as_str().into());
                visit("build-date", build_date.as_str().into());
                visit("pid", (*pid).into());
                visit("api", api.as_str().into());
                visit("stats", stats.as_str().into());
                visit("capabilities", capabilities.as_str().into());
            }
            Self::VppConnectFailed { err, .. } => visit("err", err.as_str().into()),
            Self::VppDisconnect { reason } => visit("reason", reason.as_str().into()),
            Self::VppLbState { vips, application_servers, sticky_buckets_per_core, flow_timeout } => {
                visit("vips", (*vips).into());
                visit("application-servers", (*application_servers).into());
                numbers(visit, *sticky_buckets_per_core, *flow_timeout);
            }
            Self::VppLbConfSet { ipv4_src, ipv6_src, sticky_buckets_per_core, flow_timeout } => {
                visit("ipv4-src", ipv4_src.as_str().into());
                visit("ipv6-src", ipv6_src.as_str().into());
                numbers(visit, *sticky_buckets_per_core, *flow_timeout);
            }
            Self::SyncStart { scope } => scope.fields(visit),
            Self::SyncDone { scope, counts, duration } => {
                scope.fields(visit);
                visit("vip-added", counts.vip_added.into());
                visit("vip-removed", counts.vip_removed.into());
                visit("as-added", counts.as_added.into());
                visit("as-removed", counts.as_removed.into());
                visit("as-weight-updated", counts.as_weight_updated.into());
                visit("duration-ms", milliseconds(*duration));
            }
            Self::VipAdded { vip, encap } | Self::VipRemoved { vip, encap } => {
                vip.fields(visit);
                visit("encap", (*encap).into());
            }
            Self::VipRecreate { vip, encap, reason } => {
                vip.fields(visit);
                visit("encap", (*encap).into());
                visit("reason", reason.as_str().into());
            }
            Self::AsAdded { of, weight, flush } | Self::AsRemoved { of, weight, flush } => {
                of.fields(visit);
                visit("weight", (*weight).into());
                visit("flush", (*flush).into());
            }
            Self::AsWeightUpdated { of, from, to, flush } => {
                of.fields(visit);
                visit("from", (*from).into());
                visit("to", (*to).into());
                visit("flush", (*flush).into());
            }
            Self::SyncError { vip, step, err } => {
                if let Some(vip) = vip {
                    vip.name_and_address(visit);
                }
                visit("step", (*step).into());
                visit("err", err.as_str().into());
            }
            Self::SyncHeld { hold, removals, until } => {
                visit("hold", hold.as_str().into());
                visit("removals", (*removals).into());
                visit("until", until.as_str().into());
            }
            Self::SyncReleased { hold } => visit("hold", hold.as_str().into()),
            Self::ForeignVip { vip } => {
                visit("vip", format!("{}/{}", vip.address, vip.length).into());
                visit("protocol", vip.protocol_text());
                visit("port", vip.port.into());
            }
            Self::ProbePathSuspect { family, active } => {
                visit("family", family.as_str().into());
                visit("active", (*active).into());
            }
            Self::BackendTransition { name, from, to, code } => {
                transition(visit, name, from.as_str(), to.as_str(), *code);
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
            Self::FrontendProgrammed { name, generation, result, reason } => {
                visit("name", name.as_str().into());
                visit("generation", (*generation).into());
                visit("result", result.as_str().into());
                if !reason.is_empty() {
                    visit("reason", reason.as_str().into());
                }
            }
        }
    }
}

impl Scope {
    fn fields(self, visit: &mut Visit<'_>) {
        match self {
            Self::All => visit("scope", "all".into()),
            Self::Address(address) => visit("scope", address.into()),
        }
    }
}

impl VipRef {
    fn name_and_address(&self, visit: &mut Visit<'_>) {
        if let Some(frontend) = &self.frontend {
            visit("frontend", frontend.as_str().into());
        }
        match self.vip.is_host() {
            true => visit("vip", self.vip.address.into()),
            false => visit("vip", format!("{}/{}", self.vip.address, self.vip.length).into()),
        }
    }

    fn fields(&self, visit: &mut Visit<'_>) {
        self.name_and_address(visit);
        visit("protocol", self.vip.protocol_text());
        visit("port", self.vip.port.into());
    }
}

impl AsRef {
    fn fields(&self, visit: &mut Visit<'_>) {
        self.vip.fields(visit);
        if let Some(backend) = &self.backend {
            visit("backend", backend.as_str().into());
        }
        visit("as", self.address.into());
    }
}

fn transition(visit: &mut Visit<'_>, name: &Name, from: &'static str, to: &'static str, code: Option<ProbeCode>) {
    visit("name", name.as_str().into());
    visit("from", from.into());
    visit("to", to.into());
    if let Some(code) = code {
        visit("code", code.as_str().into());
    }
}

/// VPP's global numbers, as far as it tells them.
fn numbers(visit: &mut Visit<'_>, sticky_buckets_per_core: u32, flow_timeout: u32) {
    for (key, number) in [("sticky-buckets-per-core", sticky_buckets_per_core), ("flow-timeout", flow_timeout)] {
        if number != ActualConf::UNKNOWN {
            visit(key, number.into());
        }
    }
}

fn object(visit: &mut Visit<'_>, kind: Kind, name: &Name) {
    visit("kind", kind.as_str().into());
    visit("name", name.as_str().into());
}

fn milliseconds(duration: Duration) -> Value<'static> {
    Value::Float(duration.as_secs_f64() * 1000.0)
}
