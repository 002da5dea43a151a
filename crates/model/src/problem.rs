//! Problems of objects, reported to the author of the object.

use std::fmt;

/// The reason of a problem: one PascalCase word, used as reason of conditions and as label of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// A Frontend of another namespace on this address is older, so its namespace owns the address.
    AddressOwnedByOtherNamespace,
    /// No AddressPolicy allows the namespace the address, port or encap, or the address is never allowed.
    AddressNotAllowed,
    /// No AddressPolicy allows the namespace the probe of a Backend.
    ProbeNotAllowed,
    /// Older objects of the namespace take up a limit of its AddressPolicies.
    QuotaExceeded,
    /// An AddressPolicy in mode Audit would not allow the object.
    PolicyViolation,
    /// The address of a Frontend is that of a node, or that of a Backend is the probing node's own.
    AddressUsedByNode,
    /// The address of a Backend is that of a Frontend.
    AddressUsedByFrontend,
    /// An older Frontend of the same namespace conflicts with this one in protocol and port or in encap.
    Conflicted,
    /// A pool names a Backend that does not exist.
    BackendNotFound,
    /// A stored Backend does not decode.
    BackendUnreadable,
    /// The Service that a pool follows has no EndpointSlice.
    ServiceNotFound,
    /// The Service that a pool follows has no such port, or several and the pool does not say which.
    ServicePortNotFound,
    /// The endpoints of the Service that a pool follows have not been read.
    EndpointsUnknown,
    /// An EndpointSlice of the Service that a pool follows does not decode.
    EndpointSliceUnreadable,
    /// A pool follows a Service, but the program runs without `--services`.
    ServicesDisabled,
    /// A Backend with the same address precedes this one in the pool.
    DuplicateAddress,
    /// The referenced HealthCheck does not exist.
    HealthCheckNotFound,
    /// The referenced HealthCheck does not decode.
    HealthCheckUnreadable,
    /// A HealthCheck refers to a Secret or ConfigMap that does not exist.
    CertificateNotFound,
    /// A HealthCheck refers to a Secret or ConfigMap that the agent may not read.
    CertificateForbidden,
    /// A HealthCheck refers to a Secret or ConfigMap without a usable certificate.
    CertificateUnreadable,
    /// A HealthCheck refers to a Secret or ConfigMap that has not been read yet.
    CertificateUnknown,
    /// A HealthCheck refers to a Secret, or a key of it, that does not exist.
    SecretNotFound,
    /// A HealthCheck refers to a Secret that the agent may not read.
    SecretForbidden,
    /// A HealthCheck refers to a key of a Secret that is not usable as the value of a header.
    SecretUnreadable,
    /// A HealthCheck refers to a Secret that has not been read yet.
    SecretUnknown,
    /// A stored HealthCheck contains the value of a header for credentials.
    LiteralSecret,
    /// This node lacks the capability that the probe needs.
    MissingCapability,
    /// The Frontend has backends of both IP families.
    MixedFamilies,
    /// The encap does not support backends of that IP family.
    EncapFamilyMismatch,
    /// The stored Frontend has an encap that is not supported.
    EncapUnsupported,
    /// VPP has a NAT VIP on the address of the Frontend.
    NatVipInVpp,
    /// VPP would refuse the VIP beside another VIP on the address, which stays.
    OtherVipInVpp,
    /// No backend of the Frontend resolves.
    NoBackends,
    /// The node has no source address of the IP family that the encap needs.
    NoSourceAddress,
    /// The sum of the weights of a pool is too large for the table length.
    WeightsTooLarge,
    /// The weights of a pool differ, but VPP on this node does not support weights: its backends get equal shares.
    WeightsUnsupported,
    /// The stored object does not decode.
    Unreadable,
    /// A field has a value that is not allowed.
    Invalid,
    /// A recreated VIP still has its old properties when read back.
    RecreateIneffective,
    /// The tables of older Frontends leave no room for the table of the Frontend on this node.
    NodeFull,
    /// The agent cannot record the VIP as its own, so it does not add the VIP.
    StateNotWritable,
    /// VPP rejected a step.
    VppRefused,
    /// The agent has just started and does not know the health of all backends yet.
    WarmingUp,
    /// A mass removal is held back.
    RemovalHeld,
    /// A change of the Frontend would move more buckets than its disruption budget allows.
    DisruptionHeld,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 46] = [
        Self::AddressOwnedByOtherNamespace,
        Self::AddressNotAllowed,
        Self::ProbeNotAllowed,
        Self::QuotaExceeded,
        Self::PolicyViolation,
        Self::AddressUsedByNode,
        Self::AddressUsedByFrontend,
        Self::Conflicted,
        Self::BackendNotFound,
        Self::BackendUnreadable,
        Self::ServiceNotFound,
        Self::ServicePortNotFound,
        Self::EndpointsUnknown,
        Self::EndpointSliceUnreadable,
        Self::ServicesDisabled,
        Self::DuplicateAddress,
        Self::HealthCheckNotFound,
        Self::HealthCheckUnreadable,
        Self::CertificateNotFound,
        Self::CertificateForbidden,
        Self::CertificateUnreadable,
        Self::CertificateUnknown,
        Self::SecretNotFound,
        Self::SecretForbidden,
        Self::SecretUnreadable,
        Self::SecretUnknown,
        Self::LiteralSecret,
        Self::MissingCapability,
        Self::MixedFamilies,
        Self::EncapFamilyMismatch,
        Self::EncapUnsupported,
        Self::NatVipInVpp,
        Self::OtherVipInVpp,
        Self::NoBackends,
        Self::NoSourceAddress,
        Self::WeightsTooLarge,
        Self::WeightsUnsupported,
        Self::Unreadable,
        Self::Invalid,
        Self::RecreateIneffective,
        Self::NodeFull,
        Self::StateNotWritable,
        Self::VppRefused,
        Self::WarmingUp,
        Self::RemovalHeld,
        Self::DisruptionHeld,
    ];

    /// Parses the spelling of [`Reason::as_str`]; `None` for an unknown reason.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// The spelling in conditions and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AddressOwnedByOtherNamespace => "AddressOwnedByOtherNamespace",
            Self::AddressNotAllowed => "AddressNotAllowed",
            Self::ProbeNotAllowed => "ProbeNotAllowed",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::PolicyViolation => "PolicyViolation",
            Self::AddressUsedByNode => "AddressUsedByNode",
            Self::AddressUsedByFrontend => "AddressUsedByFrontend",
            Self::Conflicted => "Conflicted",
            Self::BackendNotFound => "BackendNotFound",
            Self::BackendUnreadable => "BackendUnreadable",
            Self::ServiceNotFound => "ServiceNotFound",
            Self::ServicePortNotFound => "ServicePortNotFound",
            Self::EndpointsUnknown => "EndpointsUnknown",
            Self::EndpointSliceUnreadable => "EndpointSliceUnreadable",
            Self::ServicesDisabled => "ServicesDisabled",
            Self::DuplicateAddress => "DuplicateAddress",
            Self::HealthCheckNotFound => "HealthCheckNotFound",
            Self::HealthCheckUnreadable => "HealthCheckUnreadable",
            Self::CertificateNotFound => "CertificateNotFound",
            Self::CertificateForbidden => "CertificateForbidden",
            Self::CertificateUnreadable => "CertificateUnreadable",
            Self::CertificateUnknown => "CertificateUnknown",
            Self::SecretNotFound => "SecretNotFound",
            Self::SecretForbidden => "SecretForbidden",
            Self::SecretUnreadable => "SecretUnreadable",
            Self::SecretUnknown => "SecretUnknown",
            Self::LiteralSecret => "LiteralSecret",
            Self::MissingCapability => "MissingCapability",
            Self::MixedFamilies => "MixedFamilies",
            Self::EncapFamilyMismatch => "EncapFamilyMismatch",
            Self::EncapUnsupported => "EncapUnsupported",
            Self::NatVipInVpp => "NatVipInVpp",
            Self::OtherVipInVpp => "OtherVipInVpp",
            Self::NoBackends => "NoBackends",
            Self::NoSourceAddress => "NoSourceAddress",
            Self::WeightsTooLarge => "WeightsTooLarge",
            Self::WeightsUnsupported => "WeightsUnsupported",
            Self::Unreadable => "Unreadable",
            Self::Invalid => "Invalid",
            Self::RecreateIneffective => "RecreateIneffective",
            Self::NodeFull => "NodeFull",
            Self::StateNotWritable => "StateNotWritable",
            Self::VppRefused => "VppRefused",
            Self::WarmingUp => "WarmingUp",
            Self::RemovalHeld => "RemovalHeld",
            Self::DisruptionHeld => "DisruptionHeld",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A problem of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Problem {
    /// The reason.
    pub reason: Reason,
    /// The path of the field to change, in the notation of `kubectl explain`, such as
    /// `spec.pools[primary].backends[web-1]`; empty for the whole object.
    pub field: String,
    /// Human-readable message with the object, the field, the value found and the values allowed.
    pub message: String,
}

impl Problem {
    /// Creates a problem of `field`.
    pub fn new(reason: Reason, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason, field: field.into(), message: message.into() }
    }
}
