//! Resolves the pools of one Frontend to members, and its encap.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use super::{
    backends::Backends,
    claims::{ClaimedEncap, EncapType},
    services::{Membership, PoolMember, ServicePool},
};
use maglev_model::{
    Name,
    config::{DisruptionBudget, Member, MemberTarget, Members, OnBackendDown, Pool, RampUp},
    derived::DerivedName,
    path::PathProbe,
    problem::{Problem, Reason},
    vip::{Encap, Family, TableLength, Weight},
};

/// A pool entry as read from the object.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberRead {
    pub backend: Name,
    pub weight: Weight,
}

/// A pool as read from the object.
#[derive(Clone, Debug, PartialEq)]
pub enum PoolRead {
    Backends(Vec<MemberRead>),
    Service(ServicePool),
}

impl PoolRead {
    /// The named Backends.
    fn entries(&self) -> &[MemberRead] {
        match self {
            Self::Backends(entries) => entries,
            Self::Service(_) => &[],
        }
    }

    /// The Service that the pool follows.
    pub fn service(&self) -> Option<&ServicePool> {
        match self {
            Self::Backends(_) => None,
            Self::Service(service) => Some(service),
        }
    }
}

/// The settings of a readable Frontend, without its claim.
#[derive(Clone, Debug, PartialEq)]
pub struct FrontendSettings {
    pub encap: EncapType,
    /// Pools in order of priority.
    pub pools: Vec<(Arc<str>, PoolRead)>,
    /// `spec.sessionAffinity` is `ClientIP`.
    pub sticky: bool,
    pub on_backend_down: OnBackendDown,
    pub table_length: TableLength,
    pub path_probe: Option<PathProbe>,
    pub disruption: Option<DisruptionBudget>,
    pub ramp_up: Option<RampUp>,
}

impl FrontendSettings {
    /// The named Backends in the order of the pools, with duplicates.
    pub fn backends(&self) -> impl Iterator<Item = &Name> {
        self.pools.iter().flat_map(|(_, pool)| pool.entries().iter().map(|entry| &entry.backend))
    }

    /// The pools that follow a Service.
    pub fn services(&self) -> impl Iterator<Item = &ServicePool> {
        self.pools.iter().filter_map(|(_, pool)| pool.service())
    }
}

/// The resolved pools and encap of a Frontend.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolution {
    /// The pools without dropped members, until they are moved into the resolved Frontend.
    pub pools: Option<Vec<Pool>>,
    /// The encap; `None` if no backend resolves or the Frontend is held.
    pub encap: Option<Encap>,
    /// The encap to compare with other Frontends on the address. For a held Frontend only the type is compared: other
    /// Frontends do not lose because of problems with its backends.
    pub claimed: ClaimedEncap,
    /// The problem because of which the Frontend is held.
    pub held: Option<Problem>,
    /// All problems of pools and encap.
    pub problems: Vec<Problem>,
}

/// The last resolved members, for the next Frontend. The Frontends of a Service follow each other, and mostly have the same
/// members: they share them.
#[derive(Debug, Default)]
pub struct LastResolved {
    members: Members,
    /// Derived members without a problem, and the members of the only pool of a Frontend that they were resolved to.
    derived: Option<(Arc<[PoolMember]>, Members)>,
}

impl LastResolved {
    /// Shares the memory of equal members.
    pub fn share(&mut self, members: &mut Members) {
        if !members.share_with(&self.members) {
            self.members.clone_from(members);
        }
    }
}

/// Resolves the pools and the encap of the Frontend `name` with the address `vip`. `memberships` are those of the pools that
/// follow a Service, in their order; `last` are the members of a Frontend that was resolved with the same `backends` before.
pub fn resolve(
    name: &Name,
    vip: IpAddr,
    settings: &FrontendSettings,
    memberships: &[Membership],
    backends: &Backends,
    last: &mut LastResolved,
) -> Resolution {
    let mut resolver = PoolResolver { name, backends, by_address: HashMap::new(), problems: Vec::new() };
    let mut memberships = memberships.iter();
    let unknown = memberships.clone().find_map(|membership| membership.held.clone());
    let mut is_uncertain = false;
    let mut pools: Vec<Pool> = Vec::with_capacity(settings.pools.len());
    for (pool, read) in &settings.pools {
        is_uncertain |= pools.last().is_some_and(|pool| pool.members.iter().any(is_placeholder));
        let mut members = match read {
            PoolRead::Backends(entries) => resolver.pool(pool, entries).into(),
            PoolRead::Service(service) => match memberships.next() {
                None => Members::default(),
                Some(membership) if settings.pools.len() == 1 => resolver.only_pool(pool, service, membership, last),
                Some(membership) => resolver.service_pool(pool, service, membership).into(),
            },
        };
        if is_uncertain {
            members.iter_mut().for_each(keep_weight);
        }
        pools.push(Pool { name: pool.clone(), members });
    }
    let mut problems = resolver.problems;
    problems.extend(heavy_pools(name, settings));

    let is_resolved = |member: &Member| matches!(member.target, MemberTarget::Backend(_));
    let resolves = pools.iter().flat_map(|pool| &pool.members).any(is_resolved);
    if !resolves && unknown.is_none() {
        problems.push(no_backends(name));
    }
    let (wanted, held) = match family(name, &pools, backends) {
        Ok(None) => (None, None),
        Ok(Some(family)) => match encap_to(name, vip, settings.encap, family) {
            Ok(encap) => (Some(encap), None),
            Err(problem) => (None, Some(problem)),
        },
        Err(problem) => (None, Some(problem)),
    };
    let held = unknown.or(held);
    // Endpoints that have not been read yet are not a problem: the state is transient.
    problems.extend(held.clone().filter(|problem| problem.reason != Reason::EndpointsUnknown));
    let claimed = ClaimedEncap::Known(settings.encap, wanted.map(Encap::backend_family));
    let encap = wanted.filter(|_| resolves);
    Resolution { pools: Some(pools), encap, claimed, held, problems }
}

/// Leaves the weight of a member as VPP has it. A pool must not take over from one whose members are not known.
fn keep_weight(member: &mut Member) {
    if let MemberTarget::Backend(backend) = &member.target {
        member.target = MemberTarget::Unreadable { address: Some(backend.address) };
    }
}

/// True for the place of endpoints that are not known.
fn is_placeholder(member: &Member) -> bool {
    DerivedName::parse(&member.backend).is_some_and(|name| name.is_unknown())
}

/// Resolves pool entries in the order of the manifest.
struct PoolResolver<'a> {
    name: &'a Name,
    backends: &'a Backends,
    /// The first Backend with each address. An address is one application server.
    by_address: HashMap<IpAddr, &'a Name>,
    problems: Vec<Problem>,
}

impl<'a> PoolResolver<'a> {
    fn pool(&mut self, pool: &Arc<str>, entries: &[MemberRead]) -> Vec<Member> {
        let mut named = HashSet::new();
        let mut members = Vec::with_capacity(entries.len());
        for entry in entries {
            // Only possible in objects that were stored before the schema had the list map.
            if named.insert(&entry.backend) {
                members.extend(self.member(pool, entry));
            } else {
                let clause = "which is already listed in this pool; only the first entry takes traffic";
                self.problem(Reason::DuplicateAddress, pool, entry, clause);
            }
        }
        members
    }

    /// The members of the only pool of a Frontend: no server has the address of one in another pool.
    fn only_pool(
        &mut self,
        pool: &Arc<str>,
        service: &ServicePool,
        membership: &Membership,
        last: &mut LastResolved,
    ) -> Members {
        if let Some((derived, members)) = &last.derived
            && !membership.incomplete
            && Arc::ptr_eq(derived, &membership.members)
        {
            self.problems.extend(membership.problems.iter().cloned());
            return members.clone();
        }
        let members = Members::from(self.service_pool(pool, service, membership));
        // Other problems name the Frontend.
        let has_own_problem = membership.incomplete || self.problems.len() > membership.problems.len();
        last.derived = (!has_own_problem).then(|| (Arc::clone(&membership.members), members.clone()));
        members
    }

    /// The members of a pool that follows a Service. A server whose address is also that of another Backend is left out.
    fn service_pool(&mut self, pool: &Arc<str>, service: &ServicePool, membership: &Membership) -> Vec<Member> {
        self.problems.extend(membership.problems.iter().cloned());
        let mut members = Vec::with_capacity(membership.members.len() + usize::from(membership.incomplete));
        self.by_address.reserve(membership.members.len());
        let mut refused = Vec::new();
        for PoolMember { backend, weight } in &*membership.members {
            let Some((backend, target)) = self.backends.find(backend) else { continue };
            let Some(address) = target.address() else { continue };
            let holder = *self.by_address.entry(address).or_insert(backend);
            if holder != backend {
                let clause = format!("is also the address of Backend {holder}");
                refused.push((Reason::DuplicateAddress, backend, address, clause));
                continue;
            }
            let mut member =
                Member { backend: backend.clone(), weight: weight.unwrap_or(Weight::ZERO), target: target.clone() };
            if let MemberTarget::Unreadable { .. } = target {
                refused.push((Reason::BackendUnreadable, backend, address, "is not allowed".to_owned()));
            }
            if weight.is_none() {
                keep_weight(&mut member);
            }
            members.push(member);
        }
        for reason in [Reason::DuplicateAddress, Reason::BackendUnreadable] {
            let mut same = refused.iter().filter(|(other, ..)| *other == reason);
            if let Some((_, name, address, clause)) = same.next() {
                let others = same.count();
                let field = format!("spec.pools[{pool}].service");
                let message = format!(
                    "Frontend {}: {field}: the address {address} of {name} {clause}; so it is for {others} more of its servers; \
                     they get no new traffic",
                    self.name
                );
                self.problems.push(Problem::new(reason, field, message));
            }
        }
        if membership.incomplete {
            let backend = DerivedName::unknown(&service.service).into();
            members.push(Member { backend, weight: Weight::ZERO, target: MemberTarget::Unreadable { address: None } });
        }
        members
    }

    fn member(&mut self, pool: &str, entry: &MemberRead) -> Option<Member> {
        let Some((backend, target)) = self.backends.find(&entry.backend) else {
            let clause = "which does not exist in the same namespace: create it, or remove the entry";
            self.problem(Reason::BackendNotFound, pool, entry, clause);
            return None;
        };
        if let Some(address) = target.address() {
            let holder = *self.by_address.entry(address).or_insert(backend);
            if holder != backend {
                let clause = format!(
                    "whose address {address} is also the address of Backend {:?}; only the first of them takes traffic",
                    holder.name()
                );
                self.problem(Reason::DuplicateAddress, pool, entry, &clause);
                return None;
            }
        }
        if let MemberTarget::Unreadable { .. } = target {
            let clause = "which cannot be read or has an address that is not allowed: correct it; until then it stays in \
                          VPP as it is";
            self.problem(Reason::BackendUnreadable, pool, entry, clause);
        }
        Some(Member { backend: backend.clone(), weight: entry.weight, target: target.clone() })
    }

    fn problem(&mut self, reason: Reason, pool: &str, entry: &MemberRead, clause: &str) {
        let short = entry.backend.name();
        let field = format!("spec.pools[{pool}].backends[{short}]");
        let message = format!("Frontend {}: {field} refers to Backend {short:?}, {clause}", self.name);
        self.problems.push(Problem::new(reason, field, message));
    }
}

/// The IP family of the readable backends; `None` if no backend is readable. Backends that are not allowed count, so that
/// AddressPolicies do not change the encap that a Frontend claims.
fn family(name: &Name, pools: &[Pool], backends: &Backends) -> Result<Option<Family>, Problem> {
    let members = pools.iter().flat_map(|pool| &pool.members);
    let mut readable = members.filter_map(|member| Some((&member.backend, backends.readable_address(member)?)));
    let Some((first, first_address)) = readable.next() else { return Ok(None) };
    let family = Family::from_address(first_address);
    match readable.find(|(_, address)| Family::from_address(*address) != family) {
        None => Ok(Some(family)),
        Some((other, other_address)) => Err(Problem::new(
            Reason::MixedFamilies,
            "spec.pools",
            format!(
                "Frontend {name}: spec.pools has backends of both IP families: {:?} is {}, {:?} is {}; all backends of a \
                 Frontend must have the same family; until then VPP is left as it is",
                first.name(),
                first_address,
                other.name(),
                other_address
            ),
        )),
    }
}

/// The encap to backends of `family`. GRE carries both families over both; L3DSR requires that VIP and backends are IPv4
/// (VPP returns -97 otherwise).
fn encap_to(name: &Name, vip: IpAddr, encap: EncapType, family: Family) -> Result<Encap, Problem> {
    let same = Family::from_address(vip) == family;
    match (encap, encap.towards(family)) {
        (EncapType::Gre, Some(encap)) => Ok(encap),
        (EncapType::L3dsr(_), Some(encap)) if same => Ok(encap),
        (_, _) => {
            let message = format!(
                "Frontend {name}: spec.encap is L3DSR, but the backends are {} and spec.address is {vip}; L3DSR needs an \
                 IPv4 address and IPv4 backends; until then VPP is left as it is",
                family.as_str()
            );
            Err(Problem::new(Reason::EncapFamilyMismatch, "spec.encap", message))
        }
    }
}

fn no_backends(name: &Name) -> Problem {
    let message = format!(
        "Frontend {name}: spec.pools has no Backend that exists and can be read; until there is one, the VIP is not added \
         to VPP"
    );
    Problem::new(Reason::NoBackends, "spec.pools", message)
}

/// The problems of pools with weights that are too large for the table. Warnings only.
fn heavy_pools(name: &Name, settings: &FrontendSettings) -> impl Iterator<Item = Problem> {
    let limit = u32::from(settings.table_length.get()) / 16;
    settings.pools.iter().filter_map(move |(pool, read)| {
        let sum: u32 = read.entries().iter().map(|entry| u32::from(entry.weight.get())).sum();
        (sum > limit).then(|| {
            let field = format!("spec.pools[{pool}]");
            let message = format!(
                "Frontend {name}: the sum of the weights of {field} is {sum}, but spec.tableLength {} is precise only up to \
                 a sum of {limit}; lower the weights, or increase the table length, which cuts all flows",
                settings.table_length
            );
            Problem::new(Reason::WeightsTooLarge, field, message)
        })
    })
}
