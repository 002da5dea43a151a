//! The privileges and programs that network namespaces and tun devices require.

use std::{fs, process::Command, process::Stdio};

/// The device that creates tun devices.
const TUN: &str = "/dev/net/tun";
/// Bit numbers of the required capabilities in `CapEff`.
const CAPABILITIES: [(u32, &str); 2] = [(12, "CAP_NET_ADMIN"), (21, "CAP_SYS_ADMIN")];

/// The first requirement that this process does not meet, such as `this user lacks CAP_NET_ADMIN (run it as root)`.
pub fn missing() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(name) = missing_capability(&status) {
        return Some(format!("this user lacks {name} (run it as root)"));
    }
    if let Err(error) = fs::File::options().read(true).write(true).open(TUN) {
        return Some(format!("cannot open {TUN}: {error}"));
    }
    match Command::new("ip").arg("-V").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("`ip -V` of iproute2 ended with {status}")),
        Err(error) => Some(format!("cannot run the program ip of iproute2: {error}")),
    }
}

/// The first capability that is missing in `status`, the text of `/proc/self/status`.
fn missing_capability(status: &str) -> Option<&'static str> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    CAPABILITIES.into_iter().find(|(bit, _)| effective & (1 << bit) == 0).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_capabilities_are_named() {
        assert_eq!(missing_capability("Name:\tx\nCapEff:\t000001ffffffffff\n"), None);
        assert_eq!(missing_capability("CapEff:\t0000000000001000\n"), Some("CAP_SYS_ADMIN"));
        assert_eq!(missing_capability("CapEff:\t0000000000000000\n"), Some("CAP_NET_ADMIN"));
        assert_eq!(missing_capability(""), Some("CAP_NET_ADMIN"));
    }
}
