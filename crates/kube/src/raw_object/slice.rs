//! Decodes EndpointSlices (`discovery.k8s.io/v1`). An EndpointSlice that does not decode keeps its error, so that it does not
//! look empty.

use std::{net::IpAddr, sync::Arc};

use serde::Deserialize;
use serde_json::Value;

use super::RawObject;
use maglev_index::{AddressType, EndpointSliceObject, EndpointState, SliceContent, SliceEndpoint, SlicePort};
use maglev_model::vip::{Family, Protocol};

/// An endpoint as stored. Unknown fields are ignored; `null` counts as absent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredEndpoint {
    addresses: Vec<IpAddr>,
    conditions: Option<Conditions>,
    node_name: Option<Arc<str>>,
}

#[derive(Default, Deserialize)]
struct Conditions {
    ready: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Deserialize)]
struct StoredPort {
    name: Option<Arc<str>>,
    port: Option<u16>,
    protocol: Option<String>,
}

impl RawObject {
    pub(super) fn endpoint_slice(&self) -> EndpointSliceObject {
        let address_type = match self.json.get("addressType").and_then(Value::as_str) {
            Some("IPv4") => Some(AddressType::Ip(Family::V4)),
            Some("IPv6") => Some(AddressType::Ip(Family::V6)),
            Some("FQDN") => Some(AddressType::Fqdn),
            _ => None,
        };
        let content = match address_type {
            None => Err("addressType is none of IPv4, IPv6 and FQDN".to_owned()),
            // The addresses are host names.
            Some(AddressType::Fqdn) => Ok(SliceContent::default()),
            Some(AddressType::Ip(family)) => self.slice_content(family),
        };
        let generation = self.metadata.generation.unwrap_or_default();
        // A slice without the label is not delivered.
        let service = self.service().unwrap_or_else(|| self.name());
        EndpointSliceObject { name: self.name(), service, generation, address_type, content }
    }

    fn slice_content(&self, family: Family) -> Result<SliceContent, String> {
        let ports: Option<Vec<StoredPort>> = self
            .json
            .get("ports")
            .map_or(Ok(None), Deserialize::deserialize)
            .map_err(|error| format!("ports: {error}"))?;
        let endpoints: Option<Vec<StoredEndpoint>> = self
            .endpoints
            .as_ref()
            .map_or(Ok(None), |text| serde_json::from_str(text.get()))
            .map_err(|error| format!("endpoints: {error}"))?;
        let endpoints = endpoints.into_iter().flatten().map(|endpoint| endpoint.read(family));
        Ok(SliceContent {
            ports: ports.into_iter().flatten().map(SlicePort::from).collect(),
            endpoints: endpoints.collect::<Result<_, _>>()?,
        })
    }
}

impl StoredEndpoint {
    fn read(self, family: Family) -> Result<SliceEndpoint, String> {
        let Self { addresses, conditions, node_name: node } = self;
        let address = *addresses.first().ok_or("endpoints: an endpoint without addresses")?;
        if Family::from_address(address) != family {
            return Err(format!("endpoints: {address} is not of addressType"));
        }
        let Conditions { ready, terminating } = conditions.unwrap_or_default();
        Ok(SliceEndpoint { address, state: EndpointState::from_conditions(ready, terminating), node })
    }
}

impl From<StoredPort> for SlicePort {
    fn from(StoredPort { name, port, protocol }: StoredPort) -> Self {
        let protocol = match protocol.as_deref() {
            None | Some("TCP") => Some(Protocol::Tcp),
            Some("UDP") => Some(Protocol::Udp),
            Some(_) => None,
        };
        Self { name: name.unwrap_or_default(), port, protocol }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use maglev_index::Object;
    use maglev_model::config::Kind;

    fn slice(mut json: Value) -> EndpointSliceObject {
        json["metadata"] = json!({
            "name": "web-x", "namespace": "shop", "generation": 7, "labels": {"kubernetes.io/service-name": "web"},
        });
        // As text, as the API server sends it.
        let raw: RawObject = serde_json::from_str(&json.to_string()).expect("an object with metadata");
        let Object::EndpointSlice(slice) = raw.object(Kind::EndpointSlice) else { panic!("it is an EndpointSlice") };
        slice
    }

    #[test]
    fn endpoint_slice_decodes() {
        let slice = slice(json!({
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}, {"port": 53, "protocol": "SCTP"}],
            "endpoints": [
                {"addresses": ["10.0.0.1", "10.0.0.9"], "nodeName": "node-a", "zone": "x"},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": false, "serving": true, "terminating": true}},
                {"addresses": ["10.0.0.3"], "conditions": {"ready": false}},
                {"addresses": ["10.0.0.4"], "conditions": {"ready": false, "serving": false, "terminating": true}},
            ],
        }));
        assert_eq!((slice.name.as_str(), slice.service.as_str(), slice.generation), ("shop/web-x", "shop/web", 7));
        assert_eq!(slice.address_type, Some(AddressType::Ip(Family::V4)));
        let content = slice.content.expect("it decodes");
        let endpoints: Vec<_> =
            content.endpoints.iter().map(|e| (e.address.to_string(), e.state, e.node.as_deref())).collect();
        let expected = [
            ("10.0.0.1".to_owned(), EndpointState::Ready, Some("node-a")),
            ("10.0.0.2".to_owned(), EndpointState::Draining, None),
            ("10.0.0.3".to_owned(), EndpointState::NotReady, None),
            ("10.0.0.4".to_owned(), EndpointState::Draining, None),
        ];
        assert_eq!(endpoints, expected);
        let ports: Vec<_> = content.ports.iter().map(|port| (&*port.name, port.port, port.protocol)).collect();
        assert_eq!(ports, [("http", Some(8080), Some(Protocol::Tcp)), ("", Some(53), None)]);
    }

    #[test]
    fn slice_without_endpoints_is_empty() {
        for json in [json!({"addressType": "IPv6"}), json!({"addressType": "IPv6", "endpoints": null, "ports": null})] {
            assert_eq!(slice(json).content, Ok(SliceContent::default()));
        }
        let fqdn = json!({"addressType": "FQDN", "endpoints": [{"addresses": ["web.example"]}]});
        assert_eq!(slice(fqdn).content, Ok(SliceContent::default()));
    }

    #[test]
    fn undecodable_slice_is_not_empty() {
        for json in [
            json!({"endpoints": []}),
            json!({"addressType": "IPv5", "endpoints": []}),
            json!({"addressType": "IPv4", "endpoints": [{"addresses": ["odd"]}]}),
            json!({"addressType": "IPv4", "endpoints": [{"addresses": []}]}),
            json!({"addressType": "IPv4", "endpoints": [{"addresses": ["2001:db8::1"]}]}),
            json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": "yes"}}]}),
            json!({"addressType": "IPv4", "endpoints": "none"}),
            json!({"addressType": "IPv4", "endpoints": [], "ports": [{"port": 70_000}]}),
        ] {
            let text = json.to_string();
            assert!(slice(json).content.is_err(), "{text}");
        }
    }
}
