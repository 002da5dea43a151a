//! What is wrong with an object, for the person who wrote it.

use std::fmt;

/// The fixed PascalCase word of a problem: a condition's reason and a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Another namespace's Frontend on this address is older, so it owns the address.
    AddressOwnedByOtherNamespace,
    /// An older Frontend of the same namespace has this claim, encap or port use on the address.
    Conflicted,
    /// A pool names a Backend that does not exist.
    BackendNotFound,
    /// A stored Backend does not decode.
    BackendUnreadable,
    /// A second Backend with the same address in one Frontend.
    DuplicateAddress,
    /// The referenced HealthCheck does not exist.
    HealthCheckNotFound,
    /// The referenced HealthCheck does not decode.
    HealthCheckUnreadable,
    /// A HealthCheck refers to a Secret or ConfigMap that does not exist.
    CertificateNotFound,
    /// A HealthCheck refers to a Secret or ConfigMap that the agent may not read.
    CertificateForbidden,
    /// A HealthCheck refers to a Secret or ConfigMap in which there is no certificate that can be used.
    CertificateUnreadable,
    /// A HealthCheck refers to a Secret or ConfigMap that has not been read (yet).
    CertificateUnknown,
    /// This node lacks the capability that the probe needs.
    MissingCapability,
    /// Backends of both IP families in one Frontend.
    MixedFamilies,
    /// The encap cannot carry to backends of that family.
    EncapFamilyMismatch,
    /// No backend of the Frontend resolves.
    NoBackends,
    /// The node has no source address of the family that the encap needs.
    NoSourceAddress,
    /// The sum of a pool's weights is too large for the table.
    WeightsTooLarge,
    /// A pool's weights differ, but this node's VPP has none: its backends get equal shares.
    WeightsUnsupported,
    /// The stored object does not decode.
    Unreadable,
    /// A field has a value that is not allowed.
    Invalid,
    /// A recreated VIP still reads back as it was.
    RecreateIneffective,
    /// VPP refused a step.
    VppRefused,
    /// The agent has just started and does not know all backends yet.
    WarmingUp,
    /// Many removals were asked for at once: they are held.
    RemovalHeld,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 24] = [
        Self::AddressOwnedByOtherNamespace,
        Self::Conflicted,
        Self::BackendNotFound,
        Self::BackendUnreadable,
        Self::DuplicateAddress,
        Self::HealthCheckNotFound,
        Self::HealthCheckUnreadable,
        Self::CertificateNotFound,
        Self::CertificateForbidden,
        Self::CertificateUnreadable,
        Self::CertificateUnknown,
        Self::MissingCapability,
        Self::MixedFamilies,
        Self::EncapFamilyMismatch,
        Self::NoBackends,
        Self::NoSourceAddress,
        Self::WeightsTooLarge,
        Self::WeightsUnsupported,
        Self::Unreadable,
        Self::Invalid,
        Self::RecreateIneffective,
        Self::VppRefused,
        Self::WarmingUp,
        Self::RemovalHeld,
    ];

    /// The reason of that word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AddressOwnedByOtherNamespace => "AddressOwnedByOtherNamespace",
            Self::Conflicted => "Conflicted",
            Self::BackendNotFound => "BackendNotFound",
            Self::BackendUnreadable => "BackendUnreadable",
            Self::DuplicateAddress => "DuplicateAddress",
            Self::HealthCheckNotFound => "HealthCheckNotFound",
            Self::HealthCheckUnreadable => "HealthCheckUnreadable",
            Self::CertificateNotFound => "CertificateNotFound",
            Self::CertificateForbidden => "CertificateForbidden",
            Self::CertificateUnreadable => "CertificateUnreadable",
            Self::CertificateUnknown => "CertificateUnknown",
            Self::MissingCapability => "MissingCapability",
            Self::MixedFamilies => "MixedFamilies",
            Self::EncapFamilyMismatch => "EncapFamilyMismatch",
            Self::NoBackends => "NoBackends",
            Self::NoSourceAddress => "NoSourceAddress",
            Self::WeightsTooLarge => "WeightsTooLarge",
            Self::WeightsUnsupported => "WeightsUnsupported",
            Self::Unreadable => "Unreadable",
            Self::Invalid => "Invalid",
            Self::RecreateIneffective => "RecreateIneffective",
            Self::VppRefused => "VppRefused",
            Self::WarmingUp => "WarmingUp",
            Self::RemovalHeld => "RemovalHeld",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One problem of one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Problem {
    /// The fixed word.
    pub reason: Reason,
    /// The path of the field that has to change, as `kubectl explain` spells it, such as
    /// `spec.pools[primary].backends[web-1]`; empty where it is the whole object.
    pub field: String,
    /// A sentence that names object, field, what was found and what is allowed.
    pub message: String,
}

impl Problem {
    /// A problem of `field`.
    pub fn new(reason: Reason, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason, field: field.into(), message: message.into() }
    }
}
