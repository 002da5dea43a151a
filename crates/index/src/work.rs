//! Counters of the index.

/// Counters of the work since the start, for tests of incremental resolution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    pub health_checks: u64,
    pub backends: u64,
    /// Frontends whose pools were resolved.
    pub frontends: u64,
    /// Addresses whose conflicts were decided.
    pub addresses: u64,
    /// Claims compared on these addresses.
    pub claims: u64,
    /// Selections of the LoadBalancerConfig of the own Node.
    pub nodes: u64,
    /// Compilations of what a namespace may use.
    pub grants: u64,
    /// Endpoints in the EndpointSlices of pools that were resolved.
    pub endpoints: u64,
    pub published: u64,
}
