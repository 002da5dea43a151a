//! The VIPs in VPP that the agent owns and so may remove. They are recorded in a file beside the API socket, so that a
//! restarted agent still owns them: the directory lasts as long as VPP's state can.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::IpAddr,
    num::NonZeroU16,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use maglev_model::{
    Name,
    vip::{Protocol, Service, VipKey},
};

/// The VIPs that the agent has programmed, each with its Frontend's name, and the file that records them.
#[derive(Debug)]
pub struct OwnedVips {
    path: PathBuf,
    vips: BTreeMap<VipKey, Name>,
    /// The VIPs claimed since the file was written.
    unrecorded: BTreeSet<VipKey>,
    /// The file lacks a change.
    stale: bool,
}

/// Failure to read or write the file of owned VIPs.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} the list of owned VIPs in {}", .path.display())]
pub struct OwnedVipsError {
    verb: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    address: IpAddr,
    protocol: String,
    port: u16,
    frontend: String,
}

impl OwnedVips {
    /// Reads the file beside `api_socket`. An unreadable file counts as empty, with a warning: no VIP is owned then, so
    /// none is removed by mistake.
    pub fn load_or_empty(api_socket: &Path) -> Self {
        Self::load(api_socket).unwrap_or_else(|OwnedVipsError { path, source: error, .. }| {
            tracing::warn!(
                path = %path.display(),
                %error,
                "cannot read the list of owned VIPs; no VIP is owned until its Frontend is programmed"
            );
            Self { path, vips: BTreeMap::new(), unrecorded: BTreeSet::new(), stale: false }
        })
    }

    /// Reads the file beside `api_socket`; a missing file counts as empty.
    pub fn load(api_socket: &Path) -> Result<Self, OwnedVipsError> {
        let path = api_socket.with_file_name("maglevd.vips.json");
        match read(&path) {
            Ok(vips) => Ok(Self { path, vips, unrecorded: BTreeSet::new(), stale: false }),
            Err(source) => Err(OwnedVipsError { verb: "read", path, source }),
        }
    }

    pub fn vips(&self) -> &BTreeMap<VipKey, Name> {
        &self.vips
    }

    /// Records `vip` as owned, for `frontend`.
    pub fn claim(&mut self, vip: VipKey, frontend: &Name) {
        if self.vips.get(&vip) == Some(frontend) {
            return;
        }
        if self.vips.insert(vip, frontend.clone()).is_none() {
            self.unrecorded.insert(vip);
        }
        self.stale = true;
    }

    /// Removes `vip` from the owned VIPs. It must be absent from VPP and not desired.
    pub fn release(&mut self, vip: &VipKey) {
        self.unrecorded.remove(vip);
        self.stale |= self.vips.remove(vip).is_some();
    }

    /// True if `vip` is owned and the file has it. Only such a VIP may be added to VPP, so that no crash leaves a VIP in VPP that no agent
    /// owns.
    pub fn is_recorded(&self, vip: &VipKey) -> bool {
        self.vips.contains_key(vip) && !self.unrecorded.contains(vip)
    }

    /// Writes the file if it lacks a change.
    pub fn save(&mut self) -> Result<(), OwnedVipsError> {
        if self.stale {
            let failed = |source| OwnedVipsError { verb: "write", path: self.path.clone(), source };
            write(&self.path, &self.vips).map_err(failed)?;
            self.unrecorded.clear();
            self.stale = false;
        }
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<BTreeMap<VipKey, Name>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let entries: Vec<Entry> = serde_json::from_slice(&bytes)?;
    entries.into_iter().map(Entry::parse).collect::<Option<_>>().ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Writes a new file and renames it, so that a crash leaves the old or the new content.
fn write(path: &Path, vips: &BTreeMap<VipKey, Name>) -> io::Result<()> {
    let entries: Vec<Entry> = vips.iter().map(|(vip, frontend)| Entry::new(vip, frontend)).collect();
    let beside = path.with_extension("json.new");
    fs::write(&beside, serde_json::to_vec(&entries)?)?;
    fs::rename(&beside, path)
}

impl Entry {
    fn new(vip: &VipKey, frontend: &Name) -> Self {
        Self {
            address: vip.address,
            protocol: vip.service.protocol().to_owned(),
            port: vip.service.port(),
            frontend: frontend.to_string(),
        }
    }

    fn parse(self) -> Option<(VipKey, Name)> {
        let port = NonZeroU16::new(self.port);
        let service = match (self.protocol.as_str(), port) {
            ("any", None) => Service::AllPorts,
            ("tcp", Some(port)) => Service::Port { protocol: Protocol::Tcp, port },
            ("udp", Some(port)) => Service::Port { protocol: Protocol::Udp, port },
            _ => return None,
        };
        let (namespace, name) = self.frontend.split_once('/')?;
        Some((VipKey { address: self.address, service }, Name::namespaced(namespace, name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vip(address: &str) -> VipKey {
        let port = NonZeroU16::new(53).unwrap();
        VipKey { address: address.parse().unwrap(), service: Service::Port { protocol: Protocol::Udp, port } }
    }

    #[test]
    fn claimed_vips_survive_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("api.sock");
        let mut owned_vips = OwnedVips::load_or_empty(&socket);
        owned_vips.claim(vip("203.0.113.1"), &Name::namespaced("shop", "dns"));
        owned_vips.claim(vip("2001:db8::1"), &Name::namespaced("shop", "dns6"));
        owned_vips.release(&vip("2001:db8::1"));
        owned_vips.save().unwrap();
        assert_eq!(
            OwnedVips::load_or_empty(&socket).vips(),
            &BTreeMap::from([(vip("203.0.113.1"), Name::namespaced("shop", "dns"))])
        );
    }

    #[test]
    fn file_cut_at_any_byte_means_no_owned_vips_and_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (socket, path) = (directory.path().join("api.sock"), directory.path().join("maglevd.vips.json"));
        let names = ["203.0.113.1", "203.0.113.2", "2001:db8::1"];
        let mut complete = OwnedVips::load(&socket).unwrap();
        names.iter().for_each(|address| complete.claim(vip(address), &Name::namespaced("shop", "dns")));
        complete.save().unwrap();
        let bytes = fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            fs::write(&path, &bytes[..length]).unwrap();
            // A crash while the next file was written leaves a part of it beside.
            fs::write(directory.path().join("maglevd.vips.json.new"), &bytes[..length / 2]).unwrap();
            assert!(OwnedVips::load(&socket).is_err(), "cut after {length} bytes");
            let mut owned_vips = OwnedVips::load_or_empty(&socket);
            assert!(
                owned_vips.vips().is_empty() && !owned_vips.is_recorded(&vip(names[0])),
                "cut after {length} bytes"
            );
            owned_vips.claim(vip(names[0]), &Name::namespaced("shop", "dns"));
            assert!(!owned_vips.is_recorded(&vip(names[0])), "a claim is not a record");
            owned_vips.save().unwrap();
            assert!(owned_vips.is_recorded(&vip(names[0])));
            assert_eq!(OwnedVips::load(&socket).unwrap().vips().len(), 1, "cut after {length} bytes");
        }
    }

    #[test]
    fn vip_is_recorded_only_once_the_file_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("missing/api.sock");
        let mut owned_vips = OwnedVips::load(&socket).unwrap();
        owned_vips.claim(vip("203.0.113.1"), &Name::namespaced("shop", "dns"));
        owned_vips.save().unwrap_err();
        assert!(!owned_vips.is_recorded(&vip("203.0.113.1")));
        fs::create_dir(directory.path().join("missing")).unwrap();
        owned_vips.save().unwrap();
        assert!(owned_vips.is_recorded(&vip("203.0.113.1")));
        owned_vips.claim(vip("203.0.113.1"), &Name::namespaced("shop", "renamed"));
        assert!(owned_vips.is_recorded(&vip("203.0.113.1")), "the file has the VIP, for another Frontend");
        owned_vips.release(&vip("203.0.113.1"));
        assert!(!owned_vips.is_recorded(&vip("203.0.113.1")));
    }

    #[test]
    fn unreadable_file_means_no_owned_vips() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("api.sock");
        for broken in ["", "[{}]", r#"[{"address":"203.0.113.1","protocol":"icmp","port":0,"frontend":"a/b"}]"#] {
            fs::write(directory.path().join("maglevd.vips.json"), broken).unwrap();
            assert!(OwnedVips::load_or_empty(&socket).vips().is_empty(), "{broken}");
        }
    }
}
