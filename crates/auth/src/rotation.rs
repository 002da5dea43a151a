//! Decisions on the renewal of the agents' certificates, and their effect on the stored objects.
//!
//! ```text
//!  year 0             9          9 + 1 day     9 + 91 days
//!  authority 1 ───────┬──────────┬─────────────┤ out of the bundle
//!  authority 2        └ bundle   └ signs ──────────────▶
//!  certificate: 90 days each, renewed after 60
//! ```
//!
//! Clients learn a new authority a day before a certificate of that authority is used, and forget the old one when the
//! last certificate of the old one has expired. Pure: the caller reads and writes the objects and provides the time.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use rcgen::KeyPair;

use crate::{
    CertificateError, CertificateInfo,
    certificate::has_key,
    issue::{Authority, BACKDATED, Issued},
};

const DAY: Duration = Duration::from_hours(24);
/// Time before the end of an authority at which its successor is made.
const SUCCESSION: Duration = Duration::from_hours(24 * 365);
/// Time for clients to learn a new authority before it signs.
const ANNOUNCEMENT: Duration = DAY;
/// Age at which an agent's certificate is renewed.
const RENEWAL: Duration = Duration::from_hours(24 * 60);
/// Time after which an authority that does not sign any more is forgotten.
const RETIREMENT: Duration = Duration::from_hours(24 * 90);

/// Content of one object, by key.
pub type Data = BTreeMap<String, Vec<u8>>;

/// Content of the objects, as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Secret with the authorities: `tls.crt` and `tls.key` sign, `next.crt` and `next.key` will sign, and
    /// `previous.crt` has signed.
    pub authority: Data,
    /// Secret with the agents' certificate: `tls.crt` and `tls.key`.
    pub leaf: Data,
    /// ConfigMap with the authorities that clients trust: `ca.crt`.
    pub bundle: Data,
}

/// One object of [`Stored`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// The Secret with the authorities.
    Authority,
    /// The Secret with the agents' certificate.
    Leaf,
    /// The ConfigMap with the trusted authorities.
    Bundle,
}

/// The next change, which concerns one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Makes the first authority, or replaces one that cannot be used.
    CreateAuthority,
    /// Makes the successor of the authority.
    CreateNextAuthority,
    /// Makes the successor sign.
    PromoteNextAuthority,
    /// Forgets the previous authority.
    DropPreviousAuthority,
    /// Writes the authorities that clients trust.
    PublishBundle,
    /// Makes a certificate of the agents.
    IssueLeaf,
}

impl Action {
    /// The changed object.
    pub fn object(self) -> Object {
        match self {
            Self::PublishBundle => Object::Bundle,
            Self::IssueLeaf => Object::Leaf,
            _ => Object::Authority,
        }
    }
}

impl Stored {
    /// The next change; `None` if nothing is due. `name` is the name of the agents.
    pub fn next_action(&self, name: &str, now: Timestamp) -> Option<Action> {
        let (current, next) = (self.authority("tls"), self.authority("next"));
        let next = next.as_ref().map(Authority::info).filter(|next| now < next.not_after);
        let Some(current) = current.as_ref().map(Authority::info).filter(|current| now < current.not_after) else {
            return Some(if next.is_some() { Action::PromoteNextAuthority } else { Action::CreateAuthority });
        };
        if self.bundle.get("ca.crt") != Some(&self.expected_bundle()) {
            return Some(Action::PublishBundle);
        }
        match next {
            Some(next) if now >= created(next) + ANNOUNCEMENT => return Some(Action::PromoteNextAuthority),
            None if now + SUCCESSION >= current.not_after => return Some(Action::CreateNextAuthority),
            _ => {}
        }
        let leaf = self.leaf_info().filter(|leaf| is_current(leaf, name, current, now));
        let Some(leaf) = leaf else { return Some(Action::IssueLeaf) };
        let retired = now >= created(current) + ANNOUNCEMENT + RETIREMENT && now >= created(&leaf) + DAY;
        (retired && self.authority.contains_key("previous.crt")).then_some(Action::DropPreviousAuthority)
    }

    /// Carries out a change.
    ///
    /// # Errors
    /// A certificate cannot be made.
    pub fn apply(&mut self, action: Action, name: &str, now: Timestamp) -> Result<(), CertificateError> {
        match action {
            Action::CreateAuthority => {
                self.authority.clear();
                self.store_authority("tls", &Authority::create(now)?);
            }
            Action::CreateNextAuthority => self.store_authority("next", &Authority::create(now)?),
            Action::PromoteNextAuthority => {
                if let Some(current) = self.authority.remove("tls.crt").filter(|pem| is_valid(pem, now)) {
                    self.authority.insert("previous.crt".to_owned(), current);
                }
                for part in ["crt", "key"] {
                    if let Some(value) = self.authority.remove(&format!("next.{part}")) {
                        self.authority.insert(format!("tls.{part}"), value);
                    }
                }
            }
            Action::DropPreviousAuthority => drop(self.authority.remove("previous.crt")),
            Action::PublishBundle => drop(self.bundle.insert("ca.crt".to_owned(), self.expected_bundle())),
            Action::IssueLeaf => {
                let authority = self.authority("tls").ok_or(CertificateError::NoCertificate)?;
                let Issued { certificate_pem, key_pem } = authority.issue(name, now)?;
                self.leaf.insert("tls.crt".to_owned(), certificate_pem.into_bytes());
                self.leaf.insert("tls.key".to_owned(), key_pem.into_bytes());
            }
        }
        Ok(())
    }

    fn authority(&self, key: &str) -> Option<Authority> {
        let part = |part| self.authority.get(&format!("{key}.{part}"));
        Authority::read(part("crt")?, part("key")?).ok()
    }

    fn store_authority(&mut self, key: &str, authority: &Authority) {
        self.authority.insert(format!("{key}.crt"), authority.certificate_pem().as_bytes().to_vec());
        self.authority.insert(format!("{key}.key"), authority.key_pem().as_bytes().to_vec());
    }

    fn expected_bundle(&self) -> Vec<u8> {
        let certificates = ["tls.crt", "next.crt", "previous.crt"].map(|key| self.authority.get(key));
        certificates.into_iter().flatten().flatten().copied().collect()
    }

    /// Facts about the agents' certificate; `None` if it cannot be used.
    fn leaf_info(&self) -> Option<CertificateInfo> {
        let (certificate, key) = (self.leaf.get("tls.crt")?, self.leaf.get("tls.key")?);
        let key = KeyPair::from_pem(str::from_utf8(key).ok()?).ok()?;
        has_key(certificate, &key).then(|| CertificateInfo::from_pem(certificate).ok())?
    }
}

fn is_current(leaf: &CertificateInfo, name: &str, authority: &CertificateInfo, now: Timestamp) -> bool {
    let is_for_name = leaf.names.iter().any(|own| own == name);
    is_for_name && leaf.authority_key_id == authority.key_id && now < created(leaf) + RENEWAL && now < leaf.not_after
}

fn is_valid(pem: &[u8], now: Timestamp) -> bool {
    CertificateInfo::from_pem(pem).is_ok_and(|info| now < info.not_after)
}

/// Time at which a certificate was made.
fn created(info: &CertificateInfo) -> Timestamp {
    info.not_before + BACKDATED
}

#[cfg(test)]
mod tests;
