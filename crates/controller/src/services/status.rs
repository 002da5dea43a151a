//! The status of a Service: its addresses for the Service proxies, and the conditions of the controller. Pure.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{desired::DesiredFrontend, refusal::Refusal};
use crate::conditions::{ConditionStatus, Conditions, StatusRevision, list_names};
use maglev_crd::Condition;
use maglev_kube::{
    EventNote, StatusKind,
    service_objects::{FrontendObject, ServiceObject},
};

pub const ACCEPTED: &str = "maglev.vpp.io/Accepted";
pub const PROGRAMMED: &str = "maglev.vpp.io/Programmed";

/// A Frontend that a Service should have, and the stored one on the same VIP.
pub struct FrontendPair<'a> {
    pub desired: &'a DesiredFrontend,
    pub stored: Option<&'a FrontendObject>,
}

/// The result of looking at a Service.
pub enum Outcome<'a> {
    /// It has these addresses, and Frontends on them.
    Served { addresses: &'a [IpAddr], frontends: &'a [FrontendPair<'a>] },
    /// Nothing new is made for it. The Frontends that it has stay.
    Refused { refusal: &'a Refusal, kept: &'a [&'a FrontendObject] },
}

/// A status that differs from the stored one.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceStatus {
    pub status: Value,
    /// The addresses, the condition Accepted, or the first state of the condition Programmed change: a user may be
    /// waiting.
    pub is_urgent: bool,
    /// The Events once the status is written.
    pub notes: Vec<EventNote>,
}

impl ServiceStatus {
    /// The status without the times of conditions, which differ whenever it is computed.
    pub fn without_times(&self) -> Value {
        let mut status = self.status.clone();
        let conditions = status.get_mut("conditions").and_then(Value::as_array_mut);
        conditions.into_iter().flatten().filter_map(Value::as_object_mut).for_each(|condition| {
            condition.remove("lastTransitionTime");
        });
        status
    }
}

/// The status that the Service should have; `None` if it has it.
pub fn status(service: &ServiceObject, outcome: &Outcome<'_>, revision: StatusRevision) -> Option<ServiceStatus> {
    let ingress = ingress(service, outcome);
    let conditions = conditions(service, outcome, revision);
    if ingress == service.ingress && !service.has_foreign_ingress && same(&conditions, &service.conditions) {
        return None;
    }
    let state = |conditions: &[Condition], kind: &str| {
        conditions.iter().find(|found| found.type_ == kind).map(|found| (found.status.clone(), found.reason.clone()))
    };
    let differs = |kind: &str| state(&conditions, kind) != state(&service.conditions, kind);
    let is_first = state(&service.conditions, PROGRAMMED).is_none_or(|(_, reason)| reason != "Programmed");
    let is_urgent = ingress != service.ingress || differs(ACCEPTED) || (is_first && differs(PROGRAMMED));
    let mut notes = notes(service, &conditions);
    if let Outcome::Served { .. } = outcome {
        notes.extend(address_notes(service, &ingress));
    }
    Some(ServiceStatus { status: to_value(&ingress, &conditions), is_urgent, notes })
}

/// The status of a Service that is not of the class any more: without the fields of the controller.
pub fn cleared(service: &ServiceObject) -> Option<ServiceStatus> {
    (!service.conditions.is_empty()).then(|| ServiceStatus { status: json!({}), is_urgent: true, notes: Vec::new() })
}

fn to_value(ingress: &[IpAddr], conditions: &[Condition]) -> Value {
    let ingress: Vec<Value> = ingress.iter().map(|address| json!({"ip": address, "ipMode": "VIP"})).collect();
    let load_balancer = if ingress.is_empty() { json!({}) } else { json!({"ingress": ingress}) };
    json!({"loadBalancer": load_balancer, "conditions": conditions})
}

/// The addresses for the Service proxies. An address stays while the Service has it: without it a Node drops the packets
/// that VPP still sends.
fn ingress(service: &ServiceObject, outcome: &Outcome<'_>) -> Vec<IpAddr> {
    match outcome {
        Outcome::Served { addresses, frontends } => {
            let is_accepted = |address: IpAddr| {
                let mut on_address = frontends.iter().filter(|pair| pair.desired.address == address).peekable();
                on_address.peek().is_some() && on_address.all(|pair| pair.stored.is_some_and(has_accepted))
            };
            let is_published = |address: &&IpAddr| service.ingress.contains(*address) || is_accepted(**address);
            addresses.iter().filter(is_published).copied().collect()
        }
        Outcome::Refused { kept, .. } => {
            let is_usable = |address: &IpAddr| {
                let mut on_address = kept.iter().filter(|frontend| frontend.address == Some(*address)).peekable();
                on_address.peek().is_some()
                    && (service.ingress.contains(address) || on_address.all(|frontend| has_accepted(frontend)))
            };
            let mut addresses: Vec<IpAddr> = kept.iter().filter_map(|frontend| frontend.address).collect();
            addresses.sort();
            addresses.dedup();
            // The order in the status stays.
            let place = |address: &IpAddr| service.ingress.iter().position(|stored| stored == address);
            addresses.sort_by_key(|address| place(address).unwrap_or(usize::MAX));
            addresses.retain(is_usable);
            addresses
        }
    }
}

fn has_accepted(frontend: &FrontendObject) -> bool {
    frontend.condition("Accepted").is_some_and(|accepted| accepted.status == "True")
}

fn conditions(service: &ServiceObject, outcome: &Outcome<'_>, revision: StatusRevision) -> Vec<Condition> {
    let mut conditions = Conditions::new(&service.conditions, revision);
    match outcome {
        Outcome::Served { addresses, frontends } => {
            let stored: Vec<Option<&FrontendObject>> = frontends.iter().map(|pair| pair.stored).collect();
            let vips: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let accepted = format!("the address is {}", vips.join(", "));
            summarize(&mut conditions, ACCEPTED, "Accepted", &stored, &accepted);
            summarize(&mut conditions, PROGRAMMED, "Programmed", &stored, "VPP on every node has all Frontends");
        }
        Outcome::Refused { refusal, kept } => {
            let kept_names = list_names(kept.iter().map(|frontend| frontend.name.name()));
            let consequence = if kept.is_empty() {
                "until then it has no Frontends".to_owned()
            } else {
                format!("until then its Frontends stay as they are: {kept_names}")
            };
            let message = format!("Service {}: {refusal}; {consequence}", service.name);
            conditions.set(ACCEPTED, ConditionStatus::False, refusal.reason(), &message);
            if kept.is_empty() {
                conditions.set(PROGRAMMED, ConditionStatus::False, "NotAccepted", "the Service has no Frontends");
            } else {
                let stored: Vec<Option<&FrontendObject>> = kept.iter().map(|frontend| Some(*frontend)).collect();
                summarize(&mut conditions, PROGRAMMED, "Programmed", &stored, "VPP on every node has all Frontends");
            }
        }
    }
    conditions.into_list()
}

/// Sets `kind` to the worst state of the condition `of_frontends`: False before Unknown before True. A condition that was
/// never set stays absent while it is unknown, which saves a write.
fn summarize(
    conditions: &mut Conditions<'_>,
    kind: &str,
    of_frontends: &str,
    stored: &[Option<&FrontendObject>],
    message_if_true: &str,
) {
    let states = stored.iter().flatten().map(|frontend| (frontend.name.name(), frontend.condition(of_frontends)));
    let states: Vec<(&str, Option<&Condition>)> = states.collect();
    let with = |status: &str| {
        states.iter().find_map(|(name, condition)| Some((name, condition.filter(|found| found.status == status)?)))
    };
    if let Some((name, found)) = with("False") {
        let message = format!("Frontend {name}: {}", found.message);
        conditions.set(kind, ConditionStatus::False, &found.reason, &message);
    } else if stored.len() == states.len()
        && states.iter().all(|(_, state)| state.is_some_and(|it| it.status == "True"))
    {
        conditions.set(kind, ConditionStatus::True, of_frontends, message_if_true);
    } else if conditions.has(kind) {
        let waits_for: Vec<&str> = states
            .iter()
            .filter(|(_, state)| state.is_none_or(|state| state.status != "True"))
            .map(|(name, _)| *name)
            .collect();
        let message = if waits_for.is_empty() {
            "Frontends are being created".to_owned()
        } else {
            format!("not known of Frontends {}", list_names(waits_for.iter().copied()))
        };
        conditions.set(kind, ConditionStatus::Unknown, "Pending", &message);
    }
}

/// True if both lists have the same conditions, in any order.
fn same(new: &[Condition], stored: &[Condition]) -> bool {
    new.len() == stored.len() && new.iter().all(|condition| stored.contains(condition))
}

/// The Events for the change of conditions.
fn notes(service: &ServiceObject, conditions: &[Condition]) -> Vec<EventNote> {
    let changed = conditions.iter().filter(|new| {
        let old = service.conditions.iter().find(|old| old.type_ == new.type_);
        old.is_none_or(|old| (&old.status, &old.reason) != (&new.status, &new.reason))
    });
    let note = |condition: &Condition| match (&*condition.type_, &*condition.status) {
        (ACCEPTED, "False") => Some(note(service, true, &condition.reason, &condition.message)),
        (PROGRAMMED, "True") => Some(note(service, false, "Programmed", &condition.message)),
        (PROGRAMMED, "False") if condition.reason != "NotAccepted" => {
            let message = format!("not Programmed: {}", condition.message);
            Some(note(service, true, &condition.reason, &message))
        }
        _ => None,
    };
    changed.filter_map(note).collect()
}

/// The Events for new addresses.
fn address_notes(service: &ServiceObject, ingress: &[IpAddr]) -> Vec<EventNote> {
    let new: Vec<String> =
        ingress.iter().filter(|address| !service.ingress.contains(*address)).map(ToString::to_string).collect();
    if new.is_empty() {
        return Vec::new();
    }
    let mut notes = vec![note(service, false, "AddressAssigned", &format!("the Service has {}", new.join(", ")))];
    let spec = service.spec.as_ref();
    if service.ingress.is_empty() && spec.is_some_and(|spec| spec.has_selector && !spec.is_local) {
        let text = "externalTrafficPolicy is Cluster: Nodes forward to pods of other Nodes, and pods do not see the \
                    addresses of clients; with Local, VPP sends only to Nodes with a pod";
        notes.push(note(service, false, "ClientAddressHidden", text));
    }
    notes
}

fn note(service: &ServiceObject, warning: bool, reason: &str, text: &str) -> EventNote {
    EventNote {
        kind: StatusKind::Service,
        name: service.name.clone(),
        uid: service.uid.clone(),
        warning,
        reason: reason.to_owned(),
        note: text.to_owned(),
    }
}
