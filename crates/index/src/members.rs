//! The pools of one Frontend: every entry resolved, those that cannot be members dropped, and what
//! follows for its encap.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use super::{
    backends::Backends,
    claims::{ClaimedEncap, EncapType},
};
use maglev_model::{
    Name,
    config::{Member, OnBackendDown, Pool, Target},
    problem::{Problem, Reason},
    vip::{Encap, Family, TableLength, Weight},
};

/// A pool's entry as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The Backend it names.
    pub backend: Name,
    pub weight: Weight,
}

/// What a readable Frontend wants, beside its claim.
#[derive(Clone, Debug, PartialEq)]
pub struct Wants {
    pub encap: EncapType,
    /// Pools in order of priority.
    pub pools: Vec<(Arc<str>, Vec<Entry>)>,
    /// `spec.sessionAffinity` is `ClientIP`.
    pub sticky: bool,
    pub on_backend_down: OnBackendDown,
    pub table_length: TableLength,
}

impl Wants {
    /// The Backends it names, in the order of the pools; one may come twice.
    pub fn backends(&self) -> impl Iterator<Item = &Name> {
        self.pools.iter().flat_map(|(_, entries)| entries.iter().map(|entry| &entry.backend))
    }
}

/// What the pools come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolution {
    /// The pools, less dropped members.
    pub pools: Vec<Pool>,
    /// The encap; `None` where no backend resolves or the Frontend is held.
    pub encap: Option<Encap>,
    /// What it brings into the comparison with others on its address. One that is held takes part
    /// with its type only: nobody else loses for what is wrong with its backends.
    pub claimed: ClaimedEncap,
    /// Why VPP is left as it is.
    pub held: Option<Problem>,
    /// All that is wrong with pools and encap.
    pub problems: Vec<Problem>,
}

/// Resolves what the Frontend `name` on `vip` wants.
pub fn resolve(name: &Name, vip: IpAddr, wants: &Wants, backends: &Backends) -> Resolution {
    let mut walk = Walk { name, backends, by_address: HashMap::new(), problems: Vec::new() };
    let pools: Vec<Pool> = wants.pools.iter().map(|(pool, entries)| walk.pool(pool, entries)).collect();
    let mut problems = walk.problems;
    problems.extend(heavy_pools(name, wants));

    let (encap, held) = match family(name, &pools) {
        Ok(None) => {
            problems.push(no_backends(name));
            (None, None)
        }
        Ok(Some(family)) => match encap_to(name, vip, wants.encap, family) {
            Ok(encap) => (Some(encap), None),
            Err(problem) => (None, Some(problem)),
        },
        Err(problem) => (None, Some(problem)),
    };
    problems.extend(held.clone());
    let claimed = ClaimedEncap::Known(wants.encap, encap.map(Encap::backend_family));
    Resolution { pools, encap, claimed, held, problems }
}

/// The walk through the entries, in the order of the manifest.
struct Walk<'a> {
    name: &'a Name,
    backends: &'a Backends,
    /// Which Backend has which address: one address is one AS.
    by_address: HashMap<IpAddr, &'a Name>,
    problems: Vec<Problem>,
}

impl<'a> Walk<'a> {
    fn pool(&mut self, pool: &Arc<str>, entries: &[Entry]) -> Pool {
        let mut named = HashSet::new();
        let mut members = Vec::with_capacity(entries.len());
        for entry in entries {
            // The schema's list map holds this for what the API server has checked.
            if named.insert(&entry.backend) {
                members.extend(self.member(pool, entry));
            } else {
                self.problem(Reason::DuplicateAddress, pool, entry, "which this pool names before; that entry counts");
            }
        }
        Pool { name: pool.clone(), members }
    }

    fn member(&mut self, pool: &str, entry: &Entry) -> Option<Member> {
        let Some((backend, target)) = self.backends.find(&entry.backend) else {
            let what = "which does not exist in its namespace; it takes no traffic until there is one";
            self.problem(Reason::BackendNotFound, pool, entry, what);
            return None;
        };
        if let Some(address) = target.address() {
            let holder = *self.by_address.entry(address).or_insert(backend);
            if holder != backend {
                let what = format!(
                    "whose address {address} is also that of Backend {:?}; only the first of them takes traffic",
                    holder.name()
                );
                self.problem(Reason::DuplicateAddress, pool, entry, &what);
                return None;
            }
        }
        if let Target::Unreadable { .. } = target {
            let what = "which cannot be read; it stays in VPP as it is until that Backend is corrected";
            self.problem(Reason::BackendUnreadable, pool, entry, what);
        }
        Some(Member { backend: backend.clone(), weight: entry.weight, target: target.clone() })
    }

    fn problem(&mut self, reason: Reason, pool: &str, entry: &Entry, what: &str) {
        let short = entry.backend.name();
        let field = format!("spec.pools[{pool}].backends[{short}]");
        let message = format!("Frontend {}: {field} names Backend {short:?}, {what}", self.name);
        self.problems.push(Problem::new(reason, field, message));
    }
}

/// The family of the backends that resolve; `None` where none does.
fn family(name: &Name, pools: &[Pool]) -> Result<Option<Family>, Problem> {
    let mut resolved = pools.iter().flat_map(|pool| &pool.members).filter_map(|member| match &member.target {
        Target::Backend(backend) => Some(backend),
        Target::Unreadable { .. } => None,
    });
    let Some(first) = resolved.next() else { return Ok(None) };
    let family = Family::of(first.address);
    match resolved.find(|backend| Family::of(backend.address) != family) {
        None => Ok(Some(family)),
        Some(other) => Err(Problem::new(
            Reason::MixedFamilies,
            "spec.pools",
            format!(
                "Frontend {name}: spec.pools has backends of both families: {:?} is {}, {:?} is {}; all backends of a \
                 Frontend need one family, and until then VPP is left as it is",
                first.name.name(),
                first.address,
                other.name.name(),
                other.address
            ),
        )),
    }
}

/// The encap to backends of `family`, where VPP has it: GRE carries any family over any, the others
/// only their own (VPP answers -97).
fn encap_to(name: &Name, vip: IpAddr, encap: EncapType, family: Family) -> Result<Encap, Problem> {
    let problem = |found: &str, allowed: &str| {
        let message = format!(
            "Frontend {name}: spec.encap is {found}, but its backends are {} and spec.address is {vip}; {allowed}, and \
             until then VPP is left as it is",
            family.as_str()
        );
        Problem::new(Reason::EncapFamilyMismatch, "spec.encap", message)
    };
    let same = Family::of(vip) == family;
    match (encap, encap.towards(family)) {
        (EncapType::Gre, Some(encap)) => Ok(encap),
        (EncapType::Nat(_), Some(encap)) if same => Ok(encap),
        (EncapType::L3dsr(_), Some(encap)) if same => Ok(encap),
        (EncapType::Nat(_), _) => Err(problem("NAT", "NAT needs backends of the address's own family")),
        (_, _) => Err(problem("L3DSR", "L3DSR is for an IPv4 address with IPv4 backends")),
    }
}

fn no_backends(name: &Name) -> Problem {
    let message = format!(
        "Frontend {name}: spec.pools has no backend that can be resolved; a VIP that VPP does not have yet is added \
         once at least one Backend exists and can be read"
    );
    Problem::new(Reason::NoBackends, "spec.pools", message)
}

/// Pools whose weights are too large for the table: a warning that changes nothing.
fn heavy_pools(name: &Name, wants: &Wants) -> impl Iterator<Item = Problem> {
    let limit = u32::from(wants.table_length.get()) / 16;
    wants.pools.iter().filter_map(move |(pool, entries)| {
        let sum: u32 = entries.iter().map(|entry| u32::from(entry.weight.get())).sum();
        (sum > limit).then(|| {
            let field = format!("spec.pools[{pool}]");
            let message = format!(
                "Frontend {name}: the weights of {field} add up to {sum}, but spec.tableLength {} honours a sum of at \
                 most {limit} well; lower the weights or enlarge the table, which cuts all flows",
                wants.table_length
            );
            Problem::new(Reason::WeightsTooLarge, field, message)
        })
    })
}
