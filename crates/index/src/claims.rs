//! Decides conflicts between the Frontends on one address. A pure function of the claims, so all nodes decide alike.
//!
//! The oldest Frontend wins: by creation time, then namespace, then name. The namespace of the oldest Frontend that is
//! allowed to use the address owns the address. Each other Frontend of that namespace is compared with the older ones
//! whose claims were granted, so a withdrawn Frontend takes nothing from younger ones.

use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashMap, HashSet},
    mem::discriminant,
    net::IpAddr,
};

use jiff::Timestamp;

use maglev_model::{
    Name,
    problem::{Problem, Reason},
    vip::{Dscp, Encap, Family, Service, VipKey},
};

/// The age of an object, which determines its precedence in conflicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Age {
    pub created: Timestamp,
    pub name: Name,
}

impl Ord for Age {
    fn cmp(&self, other: &Self) -> Ordering {
        let names = || (self.name.namespace(), self.name.name()).cmp(&(other.name.namespace(), other.name.name()));
        self.created.cmp(&other.created).then_with(names)
    }
}

impl PartialOrd for Age {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `spec.encap`, before the family of the backends is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncapType {
    Gre,
    /// `L3DSR` with its DSCP.
    L3dsr(Dscp),
}

impl EncapType {
    /// The encap to backends of `family`; `None` if there is no such encap.
    pub fn towards(self, family: Family) -> Option<Encap> {
        match (self, family) {
            (Self::Gre, Family::V4) => Some(Encap::Gre4),
            (Self::Gre, Family::V6) => Some(Encap::Gre6),
            (Self::L3dsr(dscp), Family::V4) => Some(Encap::L3dsr(dscp)),
            (Self::L3dsr(_), Family::V6) => None,
        }
    }

    /// The encap in the terms of the manifest.
    fn in_manifest(self) -> String {
        match self {
            Self::Gre => "GRE".to_owned(),
            Self::L3dsr(dscp) => format!("L3DSR with dscp {}", dscp.get()),
        }
    }
}

/// The encap of a Frontend as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimedEncap {
    /// The encap is unreadable; it agrees with every other encap.
    Unknown,
    /// The type, and the family of the backends if it is known.
    Known(EncapType, Option<Family>),
}

impl ClaimedEncap {
    /// True if both encaps can be used on one address. VPP's `lb_vip_add` compares only the type, so each port may have
    /// its own code point.
    fn agrees(self, other: Self) -> bool {
        match (self, other) {
            (Self::Known(this, here), Self::Known(that, there)) => {
                discriminant(&this) == discriminant(&that) && (here.is_none() || there.is_none() || here == there)
            }
            _ => true,
        }
    }

    fn in_manifest(self) -> String {
        match self {
            Self::Unknown => "unknown".to_owned(),
            Self::Known(encap, None) => encap.in_manifest(),
            Self::Known(encap, Some(family)) => format!("{} to {} backends", encap.in_manifest(), family.as_str()),
        }
    }
}

/// A Frontend on the address.
#[derive(Clone, Copy, Debug)]
pub struct Claimant<'a> {
    pub name: &'a Name,
    /// The claim; `None` if it is unreadable, so that it only counts for the ownership of the address.
    pub vip: Option<VipKey>,
    pub encap: ClaimedEncap,
    /// True if the whole object is readable. An unreadable Frontend never loses because of its encap: its encap in VPP is
    /// not known, and stays.
    pub readable: bool,
    /// True if the namespace may use the address, protocol, port and encap.
    pub entitled: bool,
}

/// The result of the conflicts on an address for one Frontend.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// No other Frontend has precedence.
    Granted,
    /// The VIP is withdrawn, because another Frontend of the namespace has precedence, or one of another namespace has the
    /// same VIP.
    Lost(Problem),
    /// Another namespace owns the address, but not this VIP, which VPP keeps if it has it.
    Foreign(Problem),
}

impl Outcome {
    /// The problem; `None` if no other Frontend has precedence.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Granted => None,
            Self::Lost(problem) | Self::Foreign(problem) => Some(problem),
        }
    }
}

/// The precedence of Frontends of different namespaces with the same VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rank {
    Owner,
    Entitled,
    /// Held because of the problem of the Frontend itself.
    NotEntitled,
}

/// Decides the conflicts between all Frontends of one address, which must be sorted by age, oldest first.
///
/// The namespace of the oldest entitled Frontend owns the address. Within each namespace the Frontends are compared by age
/// alone, so that an AddressPolicy never exchanges one for another. A Frontend outside of the owner's namespace keeps its
/// VIP in VPP, unless the owner claims the same.
pub fn decide(claimants: &[Claimant<'_>]) -> Vec<Outcome> {
    let oldest = claimants.iter().find(|claimant| claimant.entitled).or(claimants.first());
    let Some(owner) = oldest.map(|claimant| claimant.name.namespace()) else { return Vec::new() };
    let mut outcomes = vec![Outcome::Granted; claimants.len()];
    let mut granted: HashMap<&str, Granted<'_>> = HashMap::new();
    let mut taken: HashSet<Service> = HashSet::new();
    for (claimant, outcome) in claimants.iter().zip(&mut outcomes) {
        if let Some(vip) = claimant.vip
            && let Err(problem) = granted.entry(claimant.name.namespace()).or_default().grant(claimant, vip)
        {
            let is_owner = claimant.name.namespace() == owner;
            *outcome = Outcome::Lost(if is_owner { problem } else { owned_by_other_namespace(claimant.name, vip) });
        }
    }
    let rank = |claimant: &Claimant<'_>| match (claimant.name.namespace() == owner, claimant.entitled) {
        (true, _) => Rank::Owner,
        (false, true) => Rank::Entitled,
        (false, false) => Rank::NotEntitled,
    };
    for current in [Rank::Owner, Rank::Entitled, Rank::NotEntitled] {
        for (claimant, outcome) in claimants.iter().zip(&mut outcomes) {
            let Some(vip) = claimant.vip.filter(|_| *outcome == Outcome::Granted && rank(claimant) == current) else {
                continue;
            };
            if !taken.insert(vip.service) {
                *outcome = Outcome::Lost(owned_by_other_namespace(claimant.name, vip));
            } else if current == Rank::Entitled {
                *outcome = Outcome::Foreign(owned_by_other_namespace(claimant.name, vip));
            }
        }
    }
    outcomes
}

/// The claims granted on the address so far.
#[derive(Default)]
struct Granted<'a> {
    first: Option<&'a Name>,
    services: HashMap<Service, &'a Name>,
    /// Encaps that agree with each other; at most one of each type and family.
    encaps: Vec<(ClaimedEncap, &'a Name)>,
}

impl<'a> Granted<'a> {
    fn grant(&mut self, claimant: &Claimant<'a>, vip: VipKey) -> Result<(), Problem> {
        let Claimant { name, mut encap, readable, .. } = *claimant;
        if let Some(older) = self.services.get(&vip.service) {
            return Err(conflict(name, claim_field(vip.service), &same_claim(vip, older)));
        }
        if let Some(older) = self.services.get(&Service::AllPorts) {
            return Err(conflict(name, "spec.port", &under_all_ports(vip, older)));
        }
        if let (Service::AllPorts, Some(older)) = (vip.service, self.first) {
            return Err(conflict(name, "spec.port", &over_ports(vip, older)));
        }
        if let Some((granted, older)) = self.encaps.iter().find(|(granted, _)| !granted.agrees(encap)) {
            if readable {
                return Err(conflict(name, "spec.encap", &other_encap(vip, encap, *granted, older)));
            }
            encap = ClaimedEncap::Unknown;
        }
        self.first = self.first.or(Some(name));
        self.services.insert(vip.service, name);
        if encap != ClaimedEncap::Unknown && !self.encaps.iter().any(|(granted, _)| *granted == encap) {
            self.encaps.push((encap, name));
        }
        Ok(())
    }
}

fn owned_by_other_namespace(name: &Name, vip: VipKey) -> Problem {
    let message = format!(
        "Frontend {name}: spec.address {} is owned by another namespace, which used it first; choose an address that no \
         other namespace uses; a VIP that VPP has stays until the Frontend is deleted, or the other namespace claims it",
        vip.address
    );
    Problem::new(Reason::AddressOwnedByOtherNamespace, "spec.address", message)
}

fn conflict(name: &Name, field: &str, message: &str) -> Problem {
    Problem::new(Reason::Conflicted, field, format!("Frontend {name}: {message}"))
}

fn claim_field(service: Service) -> &'static str {
    match service {
        Service::AllPorts => "spec.address",
        Service::Port { .. } => "spec.port",
    }
}

fn claim_text(vip: VipKey) -> String {
    match vip.service {
        Service::AllPorts => format!("all ports of {}", vip.address),
        Service::Port { protocol, port } => {
            format!("{} port {port} of {}", protocol.as_str().to_uppercase(), vip.address)
        }
    }
}

fn same_claim(vip: VipKey, older: &Name) -> String {
    format!(
        "{} is already claimed by the older Frontend {:?}; choose another address, protocol or port",
        claim_text(vip),
        older.name()
    )
}

fn under_all_ports(vip: VipKey, older: &Name) -> String {
    format!(
        "{} cannot be claimed, because the older Frontend {:?} claims all ports of that address; \
         choose another address",
        claim_text(vip),
        older.name()
    )
}

fn over_ports(vip: VipKey, older: &Name) -> String {
    format!(
        "{} cannot be claimed, because the older Frontend {:?} claims a port of that address; \
         choose another address, or a protocol and port",
        claim_text(vip),
        older.name()
    )
}

fn other_encap(vip: VipKey, encap: ClaimedEncap, granted: ClaimedEncap, older: &Name) -> String {
    format!(
        "spec.encap is {}, but all Frontends on {} need the same encap, and the older Frontend {:?} has {}; \
         use the same encap or another address",
        encap.in_manifest(),
        vip.address,
        older.name(),
        granted.in_manifest()
    )
}

/// The Frontends on each address, oldest first.
#[derive(Debug, Default)]
pub struct Addresses {
    claimants: HashMap<IpAddr, BTreeSet<Age>>,
}

impl Addresses {
    /// Adds a Frontend to `address`.
    pub fn add(&mut self, address: IpAddr, age: Age) {
        self.claimants.entry(address).or_default().insert(age);
    }

    /// Removes a Frontend from `address`.
    pub fn remove(&mut self, address: IpAddr, age: &Age) {
        if let Some(claimants) = self.claimants.get_mut(&address) {
            claimants.remove(age);
            if claimants.is_empty() {
                self.claimants.remove(&address);
            }
        }
    }

    /// The addresses with a Frontend.
    pub fn all(&self) -> impl Iterator<Item = IpAddr> {
        self.claimants.keys().copied()
    }

    /// The Frontends on `address`, oldest first.
    pub fn on(&self, address: IpAddr) -> impl Iterator<Item = &Name> {
        self.claimants.get(&address).into_iter().flatten().map(|age| &age.name)
    }
}
