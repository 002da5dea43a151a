//! Looks at one Service: the Frontends to write and to delete, and its status.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    desired::{self, DesiredFrontend},
    engine::{ServiceEngine, Wait},
    refusal::Refusal,
    request::Request,
    status::{self, FrontendPair, Outcome, ServiceStatus},
};
use crate::conditions::StatusRevision;
use maglev_kube::{
    service_objects::{FrontendObject, ServiceObject, ServiceSpec},
    service_writer::WriteBase,
};
use maglev_model::Name;

/// The writes for one Service, in the order of the fields.
#[derive(Clone, Debug, PartialEq)]
pub struct ServicePlan {
    pub name: Name,
    /// Frontends to create, or to change.
    pub apply: Vec<FrontendWrite>,
    pub delete: Vec<FrontendDeletion>,
    /// The Service as read, and the status to write.
    pub status: Option<(ServiceObject, ServiceStatus)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FrontendWrite {
    pub frontend: DesiredFrontend,
    /// The stored Frontend; `None` to create it.
    pub base: Option<WriteBase>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontendDeletion {
    pub name: Name,
    pub uid: Arc<str>,
}

impl ServicePlan {
    fn new(name: &Name) -> Self {
        Self { name: name.clone(), apply: Vec::new(), delete: Vec::new(), status: None }
    }

    /// True unless the only write is a status whose change nobody waits for.
    pub fn is_urgent(&self) -> bool {
        let status_is_urgent = self.status.as_ref().is_some_and(|(_, status)| status.is_urgent);
        !self.apply.is_empty() || !self.delete.is_empty() || status_is_urgent
    }

    /// True if there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.apply.is_empty() && self.delete.is_empty() && self.status.is_none()
    }
}

impl ServiceEngine {
    /// Decides on the addresses of a Service, and returns the writes for it.
    pub fn plan(&mut self, name: &Name, now: Timestamp) -> ServicePlan {
        self.waiting.remove(name);
        let service = self.services.get(name).cloned();
        let current = service.as_ref().filter(|service| !service.is_deleting);
        let Some((service, spec)) = current.and_then(|service| Some((service, service.spec.clone()?))) else {
            self.forget(name);
            return self.plan_without_frontends(name, service.as_ref());
        };
        let served = Request::read(&spec).and_then(|request| self.desired(service, &spec, &request));
        let mut plan = match served {
            Ok(desired) => self.plan_frontends(service, &desired, now),
            Err(refusal) => self.plan_refused(service, &refusal, now),
        };
        // Frontends of an earlier Service of the same name, whose owner is gone.
        let earlier = self.frontends_made_for(name).filter(|frontend| {
            frontend.owner.as_ref().is_some_and(|owner| owner.uid != service.uid) && !frontend.is_deleting
        });
        plan.delete.extend(earlier.map(deletion));
        plan
    }

    /// The Frontends that a Service should have, after its addresses were recorded.
    fn desired(&mut self, service: &ServiceObject, spec: &ServiceSpec, request: &Request) -> Result<Desired, Refusal> {
        let addresses = self.assign(service, spec, request)?;
        let frontends = desired::frontends(service, spec, request, &addresses);
        let is_foreign = |frontend: &&DesiredFrontend| {
            let stored = self.frontends.get(&frontend.name);
            stored.is_some_and(|stored| stored.owner.as_ref().is_none_or(|owner| owner.service != service.name))
        };
        if let Some(taken) = frontends.iter().find(is_foreign) {
            return Err(Refusal::NameTaken { frontend: taken.name.clone() });
        }
        self.record(service, request, &addresses);
        Ok(Desired { addresses, frontends })
    }

    fn plan_frontends(&self, service: &ServiceObject, desired: &Desired, now: Timestamp) -> ServicePlan {
        let mut plan = ServicePlan::new(&service.name);
        let mut pairs = Vec::with_capacity(desired.frontends.len());
        for frontend in &desired.frontends {
            let stored = self.frontends.get(&frontend.name);
            let own = stored.filter(|stored| {
                let is_own = stored.owner.as_ref().is_some_and(|owner| owner.uid == service.uid);
                is_own && !stored.is_deleting && frontend.has_vip_of(stored)
            });
            // A Frontend on another VIP has to go first: its address cannot be changed.
            if (stored.is_none() || own.is_some()) && !self.is_current(frontend, own) {
                let base = own.map(|own| WriteBase { uid: own.uid.clone(), version: own.version.clone() });
                plan.apply.push(FrontendWrite { frontend: frontend.clone(), base });
            }
            pairs.push(FrontendPair { desired: frontend, stored: own });
        }
        let is_wanted = |stored: &&FrontendObject| {
            desired.frontends.iter().any(|frontend| frontend.name == stored.name && frontend.has_vip_of(stored))
        };
        let unwanted = self.own_frontends(service).filter(|stored| !stored.is_deleting && !is_wanted(stored));
        plan.delete.extend(unwanted.map(deletion));
        let outcome = Outcome::Served { addresses: &desired.addresses, frontends: &pairs };
        plan.status = self.status_write(service, &outcome, now);
        plan
    }

    /// True if `stored` is as it should be, or was applied and is what the API server made of it.
    fn is_current(&self, frontend: &DesiredFrontend, stored: Option<&FrontendObject>) -> bool {
        let Some(stored) = stored else { return false };
        let was_applied = self
            .applied
            .get(&frontend.name)
            .is_some_and(|(version, manifest)| *version == stored.version && *manifest == frontend.manifest);
        was_applied || frontend.is_stored(stored)
    }

    /// A refused Service keeps its Frontends and addresses, except for addresses that it has lost to another one.
    fn plan_refused(&mut self, service: &ServiceObject, refusal: &Refusal, now: Timestamp) -> ServicePlan {
        if refusal.depends_on_others() {
            self.waiting.insert(service.name.clone(), Wait::Refused);
        }
        let own: Vec<FrontendObject> =
            self.own_frontends(service).filter(|frontend| !frontend.is_deleting).cloned().collect();
        let is_lost =
            |frontend: &&FrontendObject| frontend.address.is_some_and(|address| self.is_lost(service, &[], address));
        let (lost, kept): (Vec<&FrontendObject>, Vec<&FrontendObject>) = own.iter().partition(is_lost);
        let mut plan = ServicePlan::new(&service.name);
        plan.delete.extend(lost.iter().copied().map(deletion));
        plan.status = self.status_write(service, &Outcome::Refused { refusal, kept: &kept }, now);
        if kept.is_empty() {
            let wait = self.waiting.get(&service.name).copied();
            self.forget(&service.name);
            self.waiting.extend(wait.map(|wait| (service.name.clone(), wait)));
        }
        plan
    }

    fn plan_without_frontends(&self, name: &Name, service: Option<&ServiceObject>) -> ServicePlan {
        let mut plan = ServicePlan::new(name);
        let stored = self.frontends_made_for(name).filter(|frontend| !frontend.is_deleting);
        plan.delete.extend(stored.map(deletion));
        let left = service.filter(|service| service.spec.is_none());
        let status = left.and_then(|service| Some((service.clone(), status::cleared(service)?)));
        plan.status = status.filter(|(service, new)| !self.was_written(service, new));
        plan
    }

    fn status_write(
        &self,
        service: &ServiceObject,
        outcome: &Outcome<'_>,
        now: Timestamp,
    ) -> Option<(ServiceObject, ServiceStatus)> {
        let revision = StatusRevision { generation: service.generation, now };
        let new = status::status(service, outcome, revision)?;
        (!self.was_written(service, &new)).then(|| (service.clone(), new))
    }

    /// True if this status was written, and the watch has not delivered the Service since.
    fn was_written(&self, service: &ServiceObject, new: &ServiceStatus) -> bool {
        let written = self.written.get(&service.name);
        written.is_some_and(|(version, status)| *version == service.version && *status == new.without_times())
    }
}

/// The addresses and Frontends that a Service should have.
struct Desired {
    addresses: Vec<std::net::IpAddr>,
    frontends: Vec<DesiredFrontend>,
}

fn deletion(frontend: &FrontendObject) -> FrontendDeletion {
    FrontendDeletion { name: frontend.name.clone(), uid: frontend.uid.clone() }
}
