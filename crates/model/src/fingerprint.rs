//! A hash that two programs compare to check that they resolved a Frontend to the same result.

use std::{fmt, net::IpAddr};

use sha2::{Digest as _, Sha256};

use super::{
    config::{AdminState, Frontend, Member, MemberTarget, OnBackendDown},
    derived::DerivedName,
    vip::{Encap, Service},
};

/// SHA-256 over all inputs of programming a Frontend: VIP, encap with family and parameter, affinity, table length,
/// `onBackendDown`, and the pools with the name, address, weight and admin state of each member. Health is not included, and
/// neither are members that follow a Service: like health, they change without a new version of the Frontend.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// The version of the format; see [`Fingerprint::VERSION`].
    pub version: u32,
    /// The SHA-256 hash.
    pub hash: [u8; 32],
}

impl Fingerprint {
    /// The current version of the hashed fields and their order. Fingerprints of different versions are not comparable.
    pub const VERSION: u32 = 1;

    /// True if both fingerprints are equal; `None` if their versions differ, so that they are not comparable.
    pub fn agrees(&self, other: &Self) -> Option<bool> {
        (self.version == other.version).then_some(self.hash == other.hash)
    }

    /// Computes the fingerprint of `frontend`.
    pub fn new(frontend: &Frontend) -> Self {
        let mut hash = Hasher(Sha256::new());
        hash.address(Some(frontend.vip.address));
        match frontend.vip.service {
            Service::AllPorts => hash.numbers([255, 0]),
            Service::Port { protocol, port } => hash.numbers([protocol.number().into(), port.get().into()]),
        }
        hash.numbers(encap(frontend.encap));
        let keeps = frontend.on_backend_down == OnBackendDown::Keep;
        hash.numbers([frontend.sticky.into(), keeps.into(), frontend.table_length.get().into()]);
        hash.numbers([length(frontend.pools.len())]);
        for pool in &frontend.pools {
            let stored = |member: &&Member| DerivedName::parse(&member.backend).is_none();
            let members: Vec<&Member> = pool.members.iter().filter(stored).collect();
            hash.text(&pool.name);
            hash.numbers([length(members.len())]);
            for member in members {
                hash.text(member.backend.as_str());
                hash.address(member.target.address());
                hash.numbers([member.weight.get().into(), admin_state(&member.target)]);
            }
        }
        Self { version: Self::VERSION, hash: hash.0.finalize().into() }
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.version)?;
        self.hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Hashes a sequence of values. Each value is fixed in length or preceded by its length, so that different sequences
/// never hash the same bytes.
struct Hasher(Sha256);

impl Hasher {
    fn numbers<const N: usize>(&mut self, numbers: [u32; N]) {
        for number in numbers {
            self.0.update(number.to_be_bytes());
        }
    }

    fn text(&mut self, text: &str) {
        self.numbers([length(text.len())]);
        self.0.update(text);
    }

    fn address(&mut self, address: Option<IpAddr>) {
        match address {
            None => self.numbers([0]),
            Some(IpAddr::V4(address)) => {
                self.numbers([4]);
                self.0.update(address.octets());
            }
            Some(IpAddr::V6(address)) => {
                self.numbers([6]);
                self.0.update(address.octets());
            }
        }
    }
}

fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn encap(encap: Option<Encap>) -> [u32; 2] {
    match encap {
        None => [0, 0],
        Some(Encap::Gre4) => [1, 0],
        Some(Encap::Gre6) => [2, 0],
        Some(Encap::L3dsr(dscp)) => [3, dscp.get().into()],
        // 4 and 5 were NAT.
    }
}

fn admin_state(target: &MemberTarget) -> u32 {
    match target {
        MemberTarget::Unreadable { .. } => 0,
        MemberTarget::Backend(backend) => match backend.admin_state {
            AdminState::Enabled => 1,
            AdminState::Paused => 2,
            AdminState::Disabled => 3,
        },
    }
}
