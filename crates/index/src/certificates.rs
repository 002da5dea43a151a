//! The Secrets and ConfigMaps that HealthChecks refer to for certificates and values of headers, their content, and its
//! validation.
//!
//! `kube` reads the objects. Until an object has been read, the HealthCheck is pending and has no problem.

mod pem;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use http::HeaderValue as HttpValue;

use super::references::References;
use maglev_model::{
    Name,
    config::{Authorities, ClientCertificate, HeaderValue, Kind},
    problem::{Problem, Reason},
};

/// Key of the CA certificates (PEM).
const CA_KEY: &str = "ca.crt";
/// Key of the client certificate with its chain (PEM).
const CERTIFICATE_KEY: &str = "tls.crt";
/// Key of the private key (PEM).
const PRIVATE_KEY: &str = "tls.key";
/// The keys of certificates.
const CERTIFICATE_KEYS: [&str; 3] = [CA_KEY, CERTIFICATE_KEY, PRIVATE_KEY];
/// The maximum length in bytes of the value of a header.
const LONGEST_VALUE: usize = 8192;

/// A kind of object that holds certificates or values of headers.
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

/// An object that holds certificates, or the value of a header.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Holder {
    pub kind: HolderKind,
    pub name: Name,
    /// The key of the value of a header; `None` for certificates.
    pub key: Option<String>,
}

impl Holder {
    /// The holder of certificates.
    pub fn of_certificates(kind: HolderKind, name: Name) -> Self {
        Self { kind, name, key: None }
    }

    /// The keys that are read. No others are stored.
    pub fn keys(&self) -> Vec<&str> {
        self.key.as_ref().map_or_else(|| CERTIFICATE_KEYS.to_vec(), |key| vec![key])
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}

/// The result of reading a [`Holder`].
#[derive(Clone, PartialEq, Eq)]
pub enum HolderContent {
    /// The data of the [`Holder::keys`].
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

/// The references of one HealthCheck to certificates and to values of headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HolderRefs {
    pub authorities: Option<Holder>,
    pub client: Option<Holder>,
    pub headers: Vec<HeaderRef>,
}

/// The reference of a header to its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderRef {
    /// The position of the header in the list.
    pub position: usize,
    /// The name of the header.
    pub header: String,
    pub holder: Holder,
}

impl HolderRefs {
    /// The objects, each once.
    pub fn holders(&self) -> impl Iterator<Item = &Holder> {
        let headers = self.headers.iter().map(|header| &header.holder);
        self.authorities.iter().chain(&self.client).chain(headers).collect::<BTreeSet<_>>().into_iter()
    }
}

/// The resolved references of one HealthCheck.
pub enum Resolved {
    /// An object has not been read yet.
    Pending,
    Usable {
        authorities: Option<Authorities>,
        client: Option<ClientCertificate>,
        /// The values of headers, with their positions in the list.
        headers: Vec<(usize, HeaderValue)>,
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
    pub fn resolve(&self, name: &Name, refs: &HolderRefs) -> Resolved {
        const AUTHORITIES: &str = "spec.tls.caCertificateRef";
        const CLIENT: &str = "spec.tls.clientCertificateRef";
        let mut problems = Vec::new();
        let (mut authorities, mut client, mut skipped, mut headers) = (None, None, None, Vec::new());
        if let Some(holder) = &refs.authorities {
            match self.contents.get(holder).map(|content| data(content, &CERTIFICATE_FAULTS).and_then(pem::authorities))
            {
                None => return Resolved::Pending,
                Some(Ok(read)) => {
                    authorities = Some(read.authorities);
                    skipped = read.skipped.map(|fault| fault.skipped_problem(name, AUTHORITIES, holder));
                }
                Some(Err(fault)) => problems.push(fault.problem(name, AUTHORITIES, holder)),
            }
        }
        if let Some(holder) = &refs.client {
            match self
                .contents
                .get(holder)
                .map(|content| data(content, &CERTIFICATE_FAULTS).and_then(pem::client_certificate))
            {
                None => return Resolved::Pending,
                Some(Ok(read)) => client = Some(read),
                Some(Err(fault)) => problems.push(fault.problem(name, CLIENT, holder)),
            }
        }
        for HeaderRef { position, header, holder } in &refs.headers {
            match self.contents.get(holder).map(|content| header_value(content, holder)) {
                None => return Resolved::Pending,
                Some(Ok(value)) => headers.push((*position, value)),
                Some(Err(fault)) => {
                    let field = format!("spec.http.headers[{header}].valueFrom.secretKeyRef");
                    problems.push(fault.problem(name, &field, holder));
                }
            }
        }
        if problems.is_empty() {
            Resolved::Usable { authorities, client, headers, skipped }
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

    fn problem(self, name: &Name, field: &str, holder: &Holder) -> Problem {
        self.problem_with_effect(name, field, holder, "until then its backends are not probed and keep their weights")
    }

    /// The problem of certificates that are skipped beside usable ones.
    fn skipped_problem(self, name: &Name, field: &str, holder: &Holder) -> Problem {
        self.problem_with_effect(name, field, holder, "until then that certificate is not trusted")
    }

    fn problem_with_effect(self, name: &Name, field: &str, holder: &Holder, effect: &str) -> Problem {
        let kind = Kind::HealthCheck.as_str();
        let message = format!("{kind} {name}: {field} refers to {holder}, {}; {effect}", self.clause);
        Problem::new(self.reason, field, message)
    }
}

/// The reasons of an object that cannot be used, by its use.
struct FaultReasons {
    missing: Reason,
    forbidden: Reason,
    unknown: Reason,
}

const CERTIFICATE_FAULTS: FaultReasons = FaultReasons {
    missing: Reason::CertificateNotFound,
    forbidden: Reason::CertificateForbidden,
    unknown: Reason::CertificateUnknown,
};
const HEADER_FAULTS: FaultReasons = FaultReasons {
    missing: Reason::SecretNotFound,
    forbidden: Reason::SecretForbidden,
    unknown: Reason::SecretUnknown,
};

fn data<'a>(content: &'a HolderContent, reasons: &FaultReasons) -> Result<&'a BTreeMap<String, Vec<u8>>, Fault> {
    let fault = |reason, clause: &str| Err(Fault { reason, clause: clause.to_owned() });
    match content {
        HolderContent::Found(data) => Ok(data),
        HolderContent::Missing => fault(reasons.missing, "which does not exist: create it"),
        HolderContent::Forbidden => fault(
            reasons.forbidden,
            "which maglevd is not allowed to read: add its name and namespace to agent.rbac.certificates of the chart",
        ),
        HolderContent::Failed(error) => {
            fault(reasons.unknown, &format!("which could not be read: {error}; maglevd keeps retrying"))
        }
    }
}

/// The value of a header. Faults do not contain the value.
fn header_value(content: &HolderContent, holder: &Holder) -> Result<HeaderValue, Fault> {
    let key = holder.key.as_deref().unwrap_or_default();
    let data = data(content, &HEADER_FAULTS)?;
    let absent = || Fault { reason: HEADER_FAULTS.missing, clause: format!("which has no key {key}: add it") };
    let value = data.get(key).ok_or_else(absent)?;
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    let value = value.strip_suffix(b"\r").unwrap_or(value);
    let text = str::from_utf8(value).ok().filter(|text| text.len() <= LONGEST_VALUE && text.is_ascii());
    text.filter(|text| HttpValue::from_str(text).is_ok()).map(HeaderValue::from).ok_or_else(|| Fault {
        reason: Reason::SecretUnreadable,
        clause: format!(
            "whose key {key} is not one line of at most {LONGEST_VALUE} printable ASCII characters: correct it"
        ),
    })
}
