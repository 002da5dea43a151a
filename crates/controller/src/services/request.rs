//! Reads what a Service asks for: ports, addresses, and the settings of its Frontends. Pure.

use std::net::IpAddr;

use super::refusal::{ADDRESS_FIELD, LOAD_BALANCER_IP, MAX_PORTS, Refusal, family_name};
use maglev_crd::{OnBackendDown, TableLength};
use maglev_kube::service_objects::{ServicePort, ServiceSpec};
use maglev_model::vip::{Family, Service};

/// A Service that can have Frontends, as far as it decides by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub ports: Vec<RequestedPort>,
    /// The addresses that the Service asks for, at most one for each family.
    pub addresses: Vec<RequestedAddress>,
    pub table_length: TableLength,
    pub on_backend_down: OnBackendDown,
}

/// A port with its traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestedPort {
    /// Empty if the port has no name.
    pub name: String,
    pub traffic: Service,
}

/// An address that a Service asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestedAddress {
    pub address: IpAddr,
    /// The field with the address.
    pub field: &'static str,
}

const TABLE_LENGTHS: &str = "a power of two from 256 to 32768";
const TABLE_LENGTH: TableLength = const { TableLength::literal(8192) };

impl Request {
    /// # Errors
    /// The first part that is refused.
    pub fn read(spec: &ServiceSpec) -> Result<Self, Refusal> {
        if spec.ports.len() > MAX_PORTS {
            return Err(Refusal::TooManyPorts { count: spec.ports.len() });
        }
        let ports = spec.ports.iter().map(port).collect::<Result<Vec<_>, _>>()?;
        let annotation = |key: &str| spec.annotations.get(key).map(|value| value.trim());
        if let Some(value) = annotation("encap").filter(|value| *value != "GRE") {
            return Err(Refusal::Encap { value: value.to_owned() });
        }
        Ok(Self {
            ports,
            addresses: addresses(spec)?,
            table_length: annotation("table-length").map_or(Ok(TABLE_LENGTH), table_length)?,
            on_backend_down: annotation("on-backend-down").map_or(Ok(OnBackendDown::default()), on_backend_down)?,
        })
    }

    /// The traffic to all ports.
    pub fn traffic(&self) -> Vec<Service> {
        self.ports.iter().map(|port| port.traffic).collect()
    }

    /// The address of `family` that the Service asks for.
    pub fn address(&self, family: Family) -> Option<RequestedAddress> {
        self.addresses.iter().copied().find(|requested| Family::from_address(requested.address) == family)
    }
}

/// True if the Service asks for `address`, even if the rest of it is refused.
pub fn asks_for(spec: &ServiceSpec, address: IpAddr) -> bool {
    addresses(spec).is_ok_and(|addresses| addresses.iter().any(|requested| requested.address == address))
}

fn port(port: &ServicePort) -> Result<RequestedPort, Refusal> {
    let traffic = port.traffic().ok_or_else(|| Refusal::Protocol {
        port: if port.name.is_empty() { port.port.to_string() } else { port.name.clone() },
        protocol: port.protocol.clone(),
    })?;
    Ok(RequestedPort { name: port.name.clone(), traffic })
}

fn addresses(spec: &ServiceSpec) -> Result<Vec<RequestedAddress>, Refusal> {
    let annotated = spec.annotations.get("address").map(|text| (text, ADDRESS_FIELD));
    let deprecated = spec.load_balancer_ip.as_ref().map(|text| (text, LOAD_BALANCER_IP));
    let Some((text, field)) = annotated.or(deprecated) else { return Ok(Vec::new()) };
    let fault = |why: String| Refusal::Address { field, why };
    let mut requested: Vec<RequestedAddress> = Vec::new();
    for part in text.split(',').map(str::trim) {
        let address: IpAddr = part.parse().map_err(|_| {
            fault(format!(
                "found {part:?}, allowed are an IPv4 address, an IPv6 address, or both with a comma between them"
            ))
        })?;
        let family = Family::from_address(address);
        if requested.iter().any(|other| Family::from_address(other.address) == family) {
            return Err(fault(format!(
                "found several {} addresses, allowed is one of each family",
                family_name(family)
            )));
        }
        if !spec.families.contains(&family) {
            let families: Vec<&str> = spec.families.iter().map(|family| family_name(*family)).collect();
            return Err(fault(format!(
                "found {address}, but spec.ipFamilies of the Service is {}",
                families.join(", ")
            )));
        }
        requested.push(RequestedAddress { address, field });
    }
    Ok(requested)
}

fn table_length(value: &str) -> Result<TableLength, Refusal> {
    let length = value.parse().ok().and_then(|length: i64| TableLength::try_from(length).ok());
    let refusal = || Refusal::Annotation { key: "table-length", value: value.to_owned(), allowed: TABLE_LENGTHS };
    length.ok_or_else(refusal)
}

fn on_backend_down(value: &str) -> Result<OnBackendDown, Refusal> {
    match value {
        "Flush" => Ok(OnBackendDown::Flush),
        "Keep" => Ok(OnBackendDown::Keep),
        _ => Err(Refusal::Annotation { key: "on-backend-down", value: value.to_owned(), allowed: "Flush or Keep" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(annotations: &[(&str, &str)]) -> ServiceSpec {
        let port = |name: &str, port: u16| ServicePort {
            name: name.to_owned(),
            protocol: "TCP".to_owned(),
            port: port.try_into().unwrap(),
        };
        ServiceSpec {
            ports: vec![port("http", 80), port("https", 443)],
            families: vec![Family::V4, Family::V6],
            annotations: annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ..ServiceSpec::default()
        }
    }

    fn refused(spec: &ServiceSpec) -> String {
        let refusal = Request::read(spec).unwrap_err();
        format!("{} {refusal}", refusal.reason())
    }

    #[test]
    fn settings_have_the_defaults_of_frontends() {
        let request = Request::read(&spec(&[])).unwrap();
        assert_eq!((request.table_length, request.on_backend_down), (TABLE_LENGTH, OnBackendDown::Flush));
        assert_eq!((request.addresses.len(), request.traffic().len()), (0, 2));
        let set = [("encap", "GRE"), ("table-length", "1024"), ("on-backend-down", "Keep"), ("other", "x")];
        let request = Request::read(&spec(&set)).unwrap();
        assert_eq!(request.table_length, TableLength::try_from(1024).unwrap());
        assert_eq!(request.on_backend_down, OnBackendDown::Keep);
    }

    #[test]
    fn refusal_names_field_and_values() {
        for (key, value, expected) in [
            ("encap", "NAT", "UnsupportedEncap metadata.annotations[maglev.vpp.io/encap]: found \"NAT\""),
            ("encap", "L3DSR", "UnsupportedEncap"),
            ("table-length", "1000", "Invalid metadata.annotations[maglev.vpp.io/table-length]: found \"1000\""),
            ("table-length", "65536", "a power of two from 256 to 32768"),
            ("table-length", "many", "Invalid"),
            ("on-backend-down", "flush", "allowed is Flush or Keep"),
            ("address", "", "Invalid metadata.annotations[maglev.vpp.io/address]: found \"\""),
            ("address", "203.0.113.1,", "found \"\""),
            ("address", "203.0.113.0/24", "found \"203.0.113.0/24\""),
            ("address", "203.0.113.1,203.0.113.2", "several IPv4 addresses"),
        ] {
            let text = refused(&spec(&[(key, value)]));
            assert!(text.contains(expected), "{text}");
        }
        let mut sctp = spec(&[]);
        sctp.ports[1].protocol = "SCTP".to_owned();
        assert_eq!(
            refused(&sctp),
            "UnsupportedProtocol spec.ports[https].protocol: found SCTP, allowed are TCP and UDP"
        );
        sctp.ports[1].name.clear();
        assert!(refused(&sctp).contains("spec.ports[443]"));
        let mut wide = spec(&[]);
        wide.ports = vec![wide.ports[0].clone(); MAX_PORTS];
        assert!(Request::read(&wide).is_ok());
        wide.ports.push(wide.ports[0].clone());
        assert!(refused(&wide).starts_with("TooManyPorts spec.ports: found 65 ports, allowed are 64"));
    }

    #[test]
    fn annotation_precedes_the_deprecated_field() {
        let mut spec = spec(&[("address", "2001:db8::1, 203.0.113.1")]);
        spec.load_balancer_ip = Some("203.0.113.9".to_owned());
        let request = Request::read(&spec).unwrap();
        let v4 = RequestedAddress { address: "203.0.113.1".parse().unwrap(), field: ADDRESS_FIELD };
        assert_eq!(request.address(Family::V4), Some(v4));
        assert!(request.address(Family::V6).is_some());
        assert!(asks_for(&spec, v4.address) && !asks_for(&spec, "203.0.113.9".parse().unwrap()));
        spec.annotations.clear();
        let request = Request::read(&spec).unwrap();
        assert_eq!(request.address(Family::V4).map(|requested| requested.field), Some(LOAD_BALANCER_IP));
        assert_eq!(request.address(Family::V6), None);
        spec.families = vec![Family::V6];
        assert!(refused(&spec).contains("found 203.0.113.9, but spec.ipFamilies of the Service is IPv6"));
    }
}
