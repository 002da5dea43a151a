//! Which of the Frontends on one address get what they claim: a pure function of the claims, so
//! every node decides the same.
//!
//! The oldest wins: by creation time, then namespace, then name. The namespace of the oldest
//! Frontend owns the address; among that namespace's Frontends each is compared with the older ones
//! that were let in, so what itself lost takes nothing from anybody.

use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashMap},
    mem::discriminant,
    net::IpAddr,
    num::NonZeroU16,
};

use jiff::Timestamp;

use maglev_model::{
    Name,
    problem::{Problem, Reason},
    vip::{Dscp, Encap, Family, Service, VipKey},
};

/// A Frontend's place in the order in which claims are decided.
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
    /// `NAT` to this port.
    Nat(NonZeroU16),
}

impl EncapType {
    /// The encap towards backends of `family`; `None` where there is no such encap.
    pub fn towards(self, family: Family) -> Option<Encap> {
        match (self, family) {
            (Self::Gre, Family::V4) => Some(Encap::Gre4),
            (Self::Gre, Family::V6) => Some(Encap::Gre6),
            (Self::L3dsr(dscp), Family::V4) => Some(Encap::L3dsr(dscp)),
            (Self::L3dsr(_), Family::V6) => None,
            (Self::Nat(port), Family::V4) => Some(Encap::Nat4(port)),
            (Self::Nat(port), Family::V6) => Some(Encap::Nat6(port)),
        }
    }

    /// The words of the manifest.
    fn in_manifest(self) -> String {
        match self {
            Self::Gre => "GRE".to_owned(),
            Self::L3dsr(dscp) => format!("L3DSR with dscp {}", dscp.get()),
            Self::Nat(port) => format!("NAT with targetPort {port}"),
        }
    }
}

/// The encap that a Frontend brings into the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimedEncap {
    /// It could not be read: it agrees with any.
    Unknown,
    /// The type; the family while it is known which the backends have.
    Known(EncapType, Option<Family>),
}

impl ClaimedEncap {
    /// Whether both can be used on one address. VPP's `lb_vip_add` compares the type alone, so
    /// each port may have its own NAT target port or code point.
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

/// One Frontend on the address that is decided.
#[derive(Clone, Copy, Debug)]
pub struct Claimant<'a> {
    pub name: &'a Name,
    /// The traffic it takes; `None` where that cannot be read, so that it only counts for whose
    /// the address is.
    pub vip: Option<VipKey>,
    pub encap: ClaimedEncap,
    /// Whether all of it could be read. One that is not never loses for its encap: what it is in
    /// VPP is not known, and stays.
    pub readable: bool,
}

/// What each of `claimants` comes to: `Some` why it is withdrawn. They are those of one address,
/// the oldest first.
pub fn decide(claimants: &[Claimant<'_>]) -> Vec<Option<Problem>> {
    let Some(owner) = claimants.first().map(|oldest| oldest.name.namespace()) else { return Vec::new() };
    let mut granted = Granted::default();
    claimants
        .iter()
        .map(|claimant| {
            let vip = claimant.vip?;
            if claimant.name.namespace() != owner {
                return Some(owned_by_other_namespace(claimant.name, vip));
            }
            granted.grant(claimant, vip).err()
        })
        .collect()
}

/// What was granted on the address so far.
#[derive(Default)]
struct Granted<'a> {
    first: Option<&'a Name>,
    services: HashMap<Service, &'a Name>,
    /// Encaps that disagree with none of the others; at most one of each type and family.
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
        "Frontend {name}: spec.address {} is in use in another namespace, which had it first; \
         use an address that no other namespace uses",
        vip.address
    );
    Problem::new(Reason::AddressOwnedByOtherNamespace, "spec.address", message)
}

fn conflict(name: &Name, field: &str, what: &str) -> Problem {
    Problem::new(Reason::Conflicted, field, format!("Frontend {name}: {what}"))
}

fn claim_field(service: Service) -> &'static str {
    match service {
        Service::AllPorts => "spec.address",
        Service::Port { .. } => "spec.port",
    }
}

/// The claim in words.
fn in_words(vip: VipKey) -> String {
    match vip.service {
        Service::AllPorts => format!("all ports of {}", vip.address),
        Service::Port { protocol, port } => {
            format!("{} port {port} of {}", protocol.as_str().to_uppercase(), vip.address)
        }
    }
}

fn same_claim(vip: VipKey, older: &Name) -> String {
    format!(
        "{} belongs to the older Frontend {:?}; choose another address, protocol or port",
        in_words(vip),
        older.name()
    )
}

fn under_all_ports(vip: VipKey, older: &Name) -> String {
    format!(
        "{} cannot be claimed, because the older Frontend {:?} claims all ports of that address; \
         choose another address",
        in_words(vip),
        older.name()
    )
}

fn over_ports(vip: VipKey, older: &Name) -> String {
    format!(
        "{} cannot be claimed, because the older Frontend {:?} claims a port of that address; \
         choose another address, or a protocol and port",
        in_words(vip),
        older.name()
    )
}

fn other_encap(vip: VipKey, encap: ClaimedEncap, granted: ClaimedEncap, older: &Name) -> String {
    format!(
        "spec.encap is {}, but all Frontends on {} need one encap, and the older Frontend {:?} has {}; \
         use that, or another address",
        encap.in_manifest(),
        vip.address,
        older.name(),
        granted.in_manifest()
    )
}

/// The claimants of every address, the oldest first.
#[derive(Debug, Default)]
pub struct Addresses {
    claimants: HashMap<IpAddr, BTreeSet<Age>>,
}

impl Addresses {
    /// Notes a Frontend on `address`.
    pub fn add(&mut self, address: IpAddr, age: Age) {
        self.claimants.entry(address).or_default().insert(age);
    }

    /// Notes that a Frontend has left `address`.
    pub fn remove(&mut self, address: IpAddr, age: &Age) {
        if let Some(claimants) = self.claimants.get_mut(&address) {
            claimants.remove(age);
            if claimants.is_empty() {
                self.claimants.remove(&address);
            }
        }
    }

    /// The Frontends on `address`, the oldest first.
    pub fn on(&self, address: IpAddr) -> impl Iterator<Item = &Name> {
        self.claimants.get(&address).into_iter().flatten().map(|age| &age.name)
    }
}
