//! The Secrets and ConfigMaps with certificates that HealthChecks refer to, their content, and its validation.
//!
//! `kube` reads the objects. Until an object has been read, the HealthCheck is pending and has no problem.

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

/// Key of the CA certificates (PEM).
const CA_KEY: &str = "ca.crt";
/// Key of the client certificate with its chain (PEM).
const CERTIFICATE_KEY: &str = "tls.crt";
/// Key of the private key (PEM).
const PRIVATE_KEY: &str = "tls.key";
/// The keys of a [`Holder`] that are read.
pub const HOLDER_KEYS: [&str; 3] = [CA_KEY, CERTIFICATE_KEY, PRIVATE_KEY];

/// A kind of object that holds certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HolderKind {
    ConfigMap,
    Secret,
}

impl HolderKind {
    /// The spelling in manifests.
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

/// The result of reading a [`Holder`].
#[derive(Clone, PartialEq, Eq)]
pub enum HolderContent {
    /// The data of [`HOLDER_KEYS`].
    Found(BTreeMap<String, Vec<u8>>),
    /// The object does not exist.
    Missing,
    /// The role of maglevd does not allow it to read the object.
    Forbidden,
    /// The API server returned another error, and the object was never read before.
    Failed(String),
}

/// Omits the data, which may be secret.
impl fmt::Debug for HolderContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found(data) => f.debug_tuple("Found").field(&data.keys()).finish(),
            Self::Missing => f.write_str("Missing"),
            Self::Forbidden => f.write_str("Forbidden"),
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

/// The references of one HealthCheck to certificates.
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

/// The resolved references of one HealthCheck to certificates.
pub enum Resolved {
    /// An object has not been read yet.
    Pending,
    Usable {
        authorities: Option<Authorities>,
        client: Option<ClientCertificate>,
        /// The problem of skipped CA certificates, if any.
        skipped: Option<Problem>,
    },
    Unusable(Vec<Problem>),
}

/// The contents of all referenced Secrets and ConfigMaps.
#[derive(Default)]
pub struct Certificates {
    contents: HashMap<Holder, HolderContent>,
    /// The HealthChecks that refer to each object.
    pub users: References<Holder>,
}

impl Certificates {
    /// The referenced objects.
    pub fn required(&self) -> BTreeSet<Holder> {
        self.users.targets().cloned().collect()
    }

    /// Applies the content of an object. Returns true if the object is referenced and its content changed.
    pub fn apply(&mut self, holder: &Holder, content: HolderContent) -> bool {
        if self.users.users(holder).next().is_none() || self.contents.get(holder) == Some(&content) {
            return false;
        }
        self.contents.insert(holder.clone(), content);
        true
    }

    /// Drops the contents of objects that are no longer referenced.
    pub fn forget_unused(&mut self) {
        let users = &self.users;
        self.contents.retain(|holder, _| users.users(holder).next().is_some());
    }

    /// Resolves the references of the HealthCheck `name`.
    pub fn resolve(&self, name: &Name, refs: &CertificateRefs) -> Resolved {
        const AUTHORITIES: &str = "spec.tls.caCertificateRef";
        const CLIENT: &str = "spec.tls.clientCertificateRef";
        let mut problems = Vec::new();
        let (mut authorities, mut client, mut skipped) = (None, None, None);
        if let Some(holder) = &refs.authorities {
            match self.contents.get(holder).map(|content| data(content).and_then(pem::authorities)) {
                None => return Resolved::Pending,
                Some(Ok(read)) => {
                    authorities = Some(read.authorities);
                    skipped = read.skipped.map(|fault| fault.skipped_problem(name, AUTHORITIES, holder));
                }
                Some(Err(fault)) => problems.push(fault.problem(name, AUTHORITIES, holder)),
            }
        }
        if let Some(holder) = &refs.client {
            match self.contents.get(holder).map(|content| data(content).and_then(pem::client_certificate)) {
                None => return Resolved::Pending,
                Some(Ok(read)) => client = Some(read),
                Some(Err(fault)) => problems.push(fault.problem(name, CLIENT, holder)),
            }
        }
        if problems.is_empty() {
            Resolved::Usable { authorities, client, skipped }
        } else {
            Resolved::Unusable(problems)
        }
    }
}

/// A [`Holder`] that cannot be used.
struct Fault {
    reason: Reason,
    /// A relative clause about the object, with the remedy.
    clause: String,
}

impl Fault {
    /// The object was read, but its content is not usable.
    fn unreadable(clause: impl Into<String>) -> Self {
        Self { reason: Reason::CertificateUnreadable, clause: clause.into() }
    }

    fn problem(self, name: &Name, field: &'static str, holder: &Holder) -> Problem {
        self.problem_with_effect(name, field, holder, "until then its backends are not probed and keep their weights")
    }

    /// The problem of certificates that are skipped beside usable ones.
    fn skipped_problem(self, name: &Name, field: &'static str, holder: &Holder) -> Problem {
        self.problem_with_effect(name, field, holder, "until then that certificate is not trusted")
    }

    fn problem_with_effect(self, name: &Name, field: &'static str, holder: &Holder, effect: &str) -> Problem {
        let kind = Kind::HealthCheck.as_str();
        let message = format!("{kind} {name}: {field} refers to {holder}, {}; {effect}", self.clause);
        Problem::new(self.reason, field, message)
    }
}

fn data(content: &HolderContent) -> Result<&BTreeMap<String, Vec<u8>>, Fault> {
    let fault = |reason, clause: &str| Err(Fault { reason, clause: clause.to_owned() });
    match content {
        HolderContent::Found(data) => Ok(data),
        HolderContent::Missing => fault(Reason::CertificateNotFound, "which does not exist: create it"),
        HolderContent::Forbidden => fault(
            Reason::CertificateForbidden,
            "which maglevd is not allowed to read: add its name to agent.rbac.secretNames or agent.rbac.configMapNames of \
             the chart",
        ),
        HolderContent::Failed(error) => {
            fault(Reason::CertificateUnknown, &format!("which could not be read: {error}; maglevd keeps retrying"))
        }
    }
}
