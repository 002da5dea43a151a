//! Resolves the hosts of VIPs, once, at the start.

use std::net::IpAddr;

use http::HeaderValue;
use rustls::pki_types::ServerName;
use tokio::net::lookup_host;

use super::{flow::Target, vip::Vip};

/// Errors of resolving a VIP.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("cannot resolve the name of {vip}")]
    Lookup { vip: Vip, source: std::io::Error },
    #[error("the name of {0} has no address")]
    NoAddress(Vip),
    #[error("{0:?} is neither a DNS name nor an IP address")]
    Host(String),
}

/// Resolves a VIP. `host` replaces the host of the URL in the header `Host` and in the certificate.
///
/// # Errors
/// The name has no address, or `host` is not a name.
pub async fn resolve(vip: Vip, host: Option<&str>) -> Result<Target, TargetError> {
    let address = match vip.host.parse::<IpAddr>() {
        Ok(address) => (address, vip.port).into(),
        Err(_) => {
            let addresses = lookup_host((vip.host.as_str(), vip.port)).await;
            let mut addresses = addresses.map_err(|source| TargetError::Lookup { vip: vip.clone(), source })?;
            addresses.next().ok_or_else(|| TargetError::NoAddress(vip.clone()))?
        }
    };
    let name = host.unwrap_or(&vip.host);
    let invalid = || TargetError::Host(name.to_owned());
    let server_name = ServerName::try_from(name.to_owned()).map_err(|_| invalid())?;
    let authority = host.map_or_else(|| vip.authority(), str::to_owned);
    let host = HeaderValue::from_str(&authority).map_err(|_| invalid())?;
    Ok(Target { vip, address, host, server_name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn host_replaces_the_name_but_not_the_address() {
        let vip: Vip = "https://203.0.113.10:8443/".parse().unwrap();
        let plain = resolve(vip.clone(), None).await.unwrap();
        assert_eq!(
            (plain.host.to_str().unwrap(), plain.server_name.to_str()),
            ("203.0.113.10:8443", "203.0.113.10".into())
        );
        let named = resolve(vip.clone(), Some("shop.example")).await.unwrap();
        assert_eq!((named.host.to_str().unwrap(), named.server_name.to_str()), ("shop.example", "shop.example".into()));
        assert_eq!(named.address, "203.0.113.10:8443".parse().unwrap());
        assert!(matches!(resolve(vip, Some("a b")).await, Err(TargetError::Host(_))));
    }
}
