//! The Secrets and ConfigMaps that HealthChecks refer to for certificates: which ones, what was read of
//! them, and whether it can be used.
//!
//! Reading them is the business of `k8s`; until it has tried, one is pending, and the HealthCheck has
//! no problem yet.

mod pem;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use super::references::References;
use maglev_model::{
    Name,
    config::{Authorities, ClientCertificate, Kind},
    problem::{Problem, Reason},
};

/// Where the authorities stand, PEM.
const CA_KEY: &str = "ca.crt";
/// Where a certificate stands, with those that lead to an authority, PEM.
const CERTIFICATE_KEY: &str = "tls.crt";
/// Where its key stands, PEM.
const PRIVATE_KEY: &str = "tls.key";
/// The keys of a [`Holder`] that count.
pub const HOLDER_KEYS: [&str; 3] = [CA_KEY, CERTIFICATE_KEY, PRIVATE_KEY];

/// A kind of object that holds certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HolderKind {
    ConfigMap,
    Secret,
}

impl HolderKind {
    /// The kind's name in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

/// An object that holds certificates.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Holder {
    pub kind: HolderKind,
    pub name: Name,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}

/// What became of reading a [`Holder`].
#[derive(Clone, PartialEq, Eq)]
pub enum Held {
    /// Its data, of the keys that count.
    Found(BTreeMap<String, Vec<u8>>),
    /// It does not exist.
    Missing,
    /// maglevd may not read it.
    Forbidden,
    /// The API server did not tell, and it was never read before.
    Failed(String),
}

/// Without the data: it may be secret.
impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found(data) => f.debug_tuple("Found").field(&data.keys()).finish(),
            Self::Missing => f.write_str("Missing"),
            Self::Forbidden => f.write_str("Forbidden"),
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

/// The references of one HealthCheck.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateRefs {
    pub authorities: Option<Holder>,
    pub client: Option<Holder>,
}

impl CertificateRefs {
    pub fn holders(&self) -> impl Iterator<Item = &Holder> {
        self.authorities.iter().chain(&self.client)
    }
}

/// What the references of a HealthCheck come to.
pub enum Resolved {
    /// Not known yet.
    Pending,
    Usable(Option<Authorities>, Option<ClientCertificate>),
    /// Not usable, and why.
    Unusable(Vec<Problem>),
}

/// All such objects.
#[derive(Default)]
pub struct Certificates {
    held: HashMap<Holder, Held>,
    /// The HealthChecks that refer to each.
    pub users: References<Holder>,
}

impl Certificates {
    /// The objects that are referred to.
    pub fn wanted(&self) -> BTreeSet<Holder> {
        self.users.targets().cloned().collect()
    }

    /// Takes in what was read. True if that is news about something that is referred to.
    pub fn apply(&mut self, holder: &Holder, held: Held) -> bool {
        if self.users.users(holder).next().is_none() || self.held.get(holder) == Some(&held) {
            return false;
        }
        self.held.insert(holder.clone(), held);
        true
    }

    /// Forgets what nobody refers to any more.
    pub fn forget_unused(&mut self) {
        let users = &self.users;
        self.held.retain(|holder, _| users.users(holder).next().is_some());
    }

    /// What the references of the HealthCheck `name` come to.
    pub fn resolve(&self, name: &Name, refs: &CertificateRefs) -> Resolved {
        const AUTHORITIES: &str = "spec.tls.caCertificateRef";
        const CLIENT: &str = "spec.tls.clientCertificateRef";
        let mut problems = Vec::new();
        let (mut authorities, mut client) = (None, None);
        if let Some(holder) = &refs.authorities {
            match self.held.get(holder).map(|held| data(held).and_then(pem::authorities)) {
                None => return Resolved::Pending,
                Some(Ok(read)) => authorities = Some(read),
                Some(Err(fault)) => problems.push(fault.problem(name, AUTHORITIES, holder)),
            }
        }
        if let Some(holder) = &refs.client {
            match self.held.get(holder).map(|held| data(held).and_then(pem::client_certificate)) {
                None => return Resolved::Pending,
                Some(Ok(read)) => client = Some(read),
                Some(Err(fault)) => problems.push(fault.problem(name, CLIENT, holder)),
            }
        }
        if problems.is_empty() { Resolved::Usable(authorities, client) } else { Resolved::Unusable(problems) }
    }
}

/// Why a [`Holder`] cannot be used.
struct Fault {
    reason: Reason,
    /// What is wrong with it, and what may be done.
    what: String,
}

impl Fault {
    /// The object can be read, but not what is in it.
    fn unreadable(what: impl Into<String>) -> Self {
        Self { reason: Reason::CertificateUnreadable, what: what.into() }
    }

    fn problem(self, name: &Name, field: &'static str, holder: &Holder) -> Problem {
        let message = format!(
            "{} {name}: {field} names {holder}, {}; until then its backends are not probed and keep their weights",
            Kind::HealthCheck.as_str(),
            self.what
        );
        Problem::new(self.reason, field, message)
    }
}

fn data(held: &Held) -> Result<&BTreeMap<String, Vec<u8>>, Fault> {
    let fault = |reason, what: &str| Err(Fault { reason, what: what.to_owned() });
    match held {
        Held::Found(data) => Ok(data),
        Held::Missing => fault(Reason::CertificateNotFound, "which does not exist: create it"),
        Held::Forbidden => fault(
            Reason::CertificateForbidden,
            "which maglevd may not read: its role has to name it (agent.rbac.secretNames or agent.rbac.configMapNames of \
             the chart)",
        ),
        Held::Failed(error) => fault(
            Reason::CertificateUnknown,
            &format!("which could not be read: {error}; that is tried again and again"),
        ),
    }
}
