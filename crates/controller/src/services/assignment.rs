//! Decides on the addresses of one Service. An address that the Service has stays, unless the Service asks for another one.
//!
//! Two Services can have one address without asking for it, if a former leader's request reached the API server after the
//! present leader had listed the Frontends. Then one of them loses the address: the one whose address is not in its status,
//! else the one with the younger Frontends.

use std::{net::IpAddr, sync::Arc};

use jiff::Timestamp;

use super::{
    addresses::{Claim, Holder},
    engine::{Assigned, ServiceEngine, Wait},
    refusal::{PORTS_FIELD, Refusal},
    request::{Request, RequestedAddress, asks_for},
};
use maglev_kube::service_objects::{FrontendObject, ServiceObject, ServiceSpec};
use maglev_model::{
    Name,
    vip::{Family, Service},
};

impl ServiceEngine {
    /// The addresses of a Service, at most one for each family.
    ///
    /// # Errors
    /// The reason for which the Service gets no address, or cannot have the one that it asks for.
    pub(super) fn assign(
        &mut self,
        service: &ServiceObject,
        spec: &ServiceSpec,
        request: &Request,
    ) -> Result<Vec<IpAddr>, Refusal> {
        if spec.families.is_empty() {
            return Err(Refusal::Address {
                field: "spec.ipFamilies",
                why: "found none, needed is IPv4 or IPv6".to_owned(),
            });
        }
        let (mut addresses, mut missing) = (Vec::new(), None);
        for family in &spec.families {
            match self.address(service, request, *family) {
                Ok(address) => addresses.push(address),
                // A preference for both families is satisfied with one.
                Err(refusal @ (Refusal::NoAddressPolicy { .. } | Refusal::NoAddressLeft { .. }))
                    if !spec.needs_all_families =>
                {
                    missing.get_or_insert(refusal);
                }
                Err(refusal) => return Err(refusal),
            }
        }
        match missing {
            Some(refusal) if addresses.is_empty() => Err(refusal),
            // Looked at again when an address becomes free.
            Some(_) => {
                self.waiting.insert(service.name.clone(), Wait::ForFamily);
                Ok(addresses)
            }
            None => Ok(addresses),
        }
    }

    fn address(&mut self, service: &ServiceObject, request: &Request, family: Family) -> Result<IpAddr, Refusal> {
        let current = self
            .current(service, family, request)
            .filter(|current| !self.is_lost(service, &request.traffic(), *current));
        match (request.address(family), current) {
            (Some(requested), current) => {
                if current != Some(requested.address) {
                    self.check_allowed(service, request, requested)?;
                }
                self.check_free(service, request, requested)?;
                Ok(requested.address)
            }
            // Another Service may share the address, and have a port that is new for this one.
            (None, Some(address)) => {
                self.check_free(service, request, RequestedAddress { address, field: PORTS_FIELD })?;
                Ok(address)
            }
            (None, None) => self.choose(service, request, family),
        }
    }

    /// The address that the Service has.
    fn current(&self, service: &ServiceObject, family: Family, request: &Request) -> Option<IpAddr> {
        let is_of_family = |address: &IpAddr| Family::from_address(*address) == family;
        let assigned = self.assigned.get(&service.name).filter(|assigned| assigned.uid == service.uid);
        let remembered = assigned.and_then(|assigned| assigned.addresses.iter().copied().find(is_of_family));
        if remembered.is_some() {
            return remembered;
        }
        let stored = self.own_frontends(service).filter(|frontend| !frontend.is_deleting);
        let stored = stored.filter_map(|frontend| Some((frontend.address.filter(is_of_family)?, frontend)));
        // While a Service moves to another address, its Frontends have both.
        let preference = |(address, frontend): &(IpAddr, &FrontendObject)| {
            let is_requested = request.address(family).is_some_and(|requested| requested.address == *address);
            (!is_requested, !service.ingress.contains(address), frontend.created, *address)
        };
        stored.min_by_key(preference).map(|(address, _)| address)
    }

    /// The stored Frontends that were made for this Service, and not for an earlier one of the same name.
    pub(super) fn own_frontends(&self, service: &ServiceObject) -> impl Iterator<Item = &FrontendObject> {
        self.frontends_made_for(&service.name)
            .filter(|frontend| frontend.owner.as_ref().is_some_and(|owner| owner.uid == service.uid))
    }

    /// The stored Frontends that were made for Services of this name.
    pub(super) fn frontends_made_for(&self, service: &Name) -> impl Iterator<Item = &FrontendObject> {
        let names = self.made_for.get(service).into_iter().flatten();
        names.filter_map(|name| self.frontends.get(name))
    }

    /// True if another object has `address`, does not share it, and keeps it. `requested` is the traffic to the Service; if
    /// it has Frontends on the address, that of the Frontends counts.
    pub(super) fn is_lost(&self, service: &ServiceObject, requested: &[Service], address: IpAddr) -> bool {
        let is_published = service.ingress.contains(&address);
        let own_rank = (!is_published, self.age(service, address).unwrap_or((Timestamp::MAX, "".into())));
        let own = self.own_frontends(service).filter(|frontend| frontend.address == Some(address));
        let stored: Vec<Service> = own.filter_map(|frontend| frontend.traffic).collect();
        let traffic = if stored.is_empty() { requested } else { &stored };
        let rivals = self.book.claims_of_others(address, &service.name).filter_map(|(holder, claim)| match holder {
            Holder::Frontend(name) => Some((self.frontends.get(name)?, claim)),
            Holder::Service(_) => None,
        });
        let mut rivals = rivals.filter(|(rival, _)| !rival.is_deleting);
        rivals.any(|(rival, claim)| {
            let rank = (!self.is_published(claim.service.as_ref(), address), (rival.created, rival.uid.clone()));
            let conflicts = rival.name.namespace() != service.name.namespace() || claim.overlaps(traffic);
            rank < own_rank && (conflicts || !is_published) && !self.shares(service, claim, address, traffic)
        })
    }

    fn is_published(&self, service: Option<&Name>, address: IpAddr) -> bool {
        let service = service.and_then(|name| self.services.get(name));
        service.is_some_and(|service| service.ingress.contains(&address))
    }

    /// Creation and uid of the oldest Frontend of the Service on `address`.
    fn age(&self, service: &ServiceObject, address: IpAddr) -> Option<(Timestamp, Arc<str>)> {
        let frontends = self.own_frontends(service).filter(|frontend| frontend.address == Some(address));
        frontends.map(|frontend| (frontend.created, frontend.uid.clone())).min()
    }

    /// True if the claim is of a Service that shares `address` with this one: both are in one namespace and ask for it, and
    /// their ports differ.
    fn shares(&self, service: &ServiceObject, claim: &Claim, address: IpAddr, traffic: &[Service]) -> bool {
        let asks = |name: &Name| {
            let spec = self.services.get(name).and_then(|service| service.spec.as_ref());
            spec.is_some_and(|spec| asks_for(spec, address))
        };
        let other = claim.service.as_ref().filter(|other| other.namespace() == service.name.namespace());
        other.is_some_and(asks) && asks(&service.name) && !claim.overlaps(traffic)
    }

    fn check_allowed(
        &mut self,
        service: &ServiceObject,
        request: &Request,
        requested: RequestedAddress,
    ) -> Result<(), Refusal> {
        let RequestedAddress { address, field } = requested;
        match self.grants.refusal(service.name.namespace(), address, &request.traffic()) {
            Some(why) => Err(Refusal::AddressNotAllowed { field, why }),
            None => Ok(()),
        }
    }

    fn check_free(
        &self,
        service: &ServiceObject,
        request: &Request,
        requested: RequestedAddress,
    ) -> Result<(), Refusal> {
        let RequestedAddress { address, field } = requested;
        let mut own = self.own_frontends(service).filter(|frontend| frontend.address == Some(address)).peekable();
        let has_it = own.peek().is_some() && !self.is_lost(service, &request.traffic(), address);
        let stored: Vec<Service> = own.filter_map(|frontend| frontend.traffic).collect();
        let traffic = request.traffic();
        let new: Vec<Service> = traffic.iter().copied().filter(|traffic| !stored.contains(traffic)).collect();
        if has_it && new.is_empty() {
            return Ok(());
        }
        let mut others = self.book.claims_of_others(address, &service.name);
        let taken = others.find(|(_, claim)| match has_it {
            // The Service keeps the address, and may get no port that another one has.
            true => claim.overlaps(&new),
            false => !self.shares(service, claim, address, &traffic),
        });
        match taken {
            Some((holder, claim)) => {
                let holder = describe(&service.name, holder, claim);
                Err(Refusal::AddressTaken { field, address, holder })
            }
            None => Ok(()),
        }
    }

    fn choose(&mut self, service: &ServiceObject, request: &Request, family: Family) -> Result<IpAddr, Refusal> {
        let namespace = service.name.namespace();
        let networks = self.grants.assigned_networks(namespace, &request.traffic());
        if !networks.iter().any(|network| network.range.is_ipv6() == (family == Family::V6)) {
            let has_policies = self.grants.has_policies();
            return Err(Refusal::NoAddressPolicy { namespace: namespace.to_owned(), family, has_policies });
        }
        let grants = &self.grants;
        let chosen = self.book.choose(&networks, family, |address| grants.unusable_until(address));
        chosen.ok_or_else(|| Refusal::NoAddressLeft { namespace: namespace.to_owned(), family })
    }

    /// Records the addresses of a Service.
    pub(super) fn record(&mut self, service: &ServiceObject, request: &Request, addresses: &[IpAddr]) {
        let claim = Claim { service: Some(service.name.clone()), traffic: request.traffic() };
        let claims = addresses.iter().map(|address| (*address, claim.clone())).collect();
        self.book.replace(&Holder::Service(service.name.clone()), claims);
        let assigned = Assigned { uid: service.uid.clone(), addresses: addresses.to_vec() };
        self.assigned.insert(service.name.clone(), assigned);
    }

    /// Forgets the addresses of a Service that is gone, or not of the class any more. They are free once its Frontends are
    /// gone.
    pub(super) fn forget(&mut self, service: &Name) {
        self.assigned.remove(service);
        self.waiting.remove(service);
        self.book.replace(&Holder::Service(service.clone()), Vec::new());
    }
}

/// The holder of an address, without disclosing objects of other namespaces.
fn describe(service: &Name, holder: &Holder, claim: &Claim) -> String {
    let (Holder::Frontend(object) | Holder::Service(object)) = holder;
    match &claim.service {
        _ if object.namespace() != service.namespace() => "another namespace".to_owned(),
        Some(other) => format!("Service {other}"),
        None => format!("Frontend {object}"),
    }
}
