//! Tests of pools that follow a Service.

mod drains;
mod known;
mod nodes;
mod properties;
mod slices;
mod work;

use serde_json::{Value, json};

use super::fixture::{IndexFixture, frontend, name, vip, with};
use crate::{
    AddressType, EndpointSliceObject, EndpointState, NodeObject, Object, SliceContent, SliceEndpoint, SlicePort,
};
use maglev_model::{
    config::{AdminState, MemberTarget},
    vip::{Family, Protocol},
};

const READY: EndpointState = EndpointState::Ready;
const DRAINING: EndpointState = EndpointState::Draining;
const NOT_READY: EndpointState = EndpointState::NotReady;

/// An endpoint: address, Node, state.
type Row<'a> = (&'a str, &'a str, EndpointState);

fn endpoint((address, node, state): Row<'_>) -> SliceEndpoint {
    SliceEndpoint { address: address.parse().unwrap(), state, node: (!node.is_empty()).then(|| node.into()) }
}

fn port(name: &str, port: u16) -> SlicePort {
    SlicePort { name: name.into(), port: Some(port), protocol: Some(Protocol::Tcp) }
}

/// A slice of the Service shop/web with the port `http`.
fn slice(slice_name: &str, generation: i64, endpoints: &[Row<'_>]) -> EndpointSliceObject {
    let family = endpoints.first().map_or(Family::V4, |row| Family::from_address(row.0.parse().unwrap()));
    let ports = if endpoints.is_empty() { Vec::new() } else { vec![port("http", 8080)] };
    EndpointSliceObject {
        name: name(&format!("shop/{slice_name}")),
        service: name("shop/web"),
        generation,
        address_type: Some(AddressType::Ip(family)),
        content: Ok(SliceContent { ports, endpoints: endpoints.iter().copied().map(endpoint).collect() }),
    }
}

fn stored(slice: EndpointSliceObject) -> Object {
    Object::EndpointSlice(slice)
}

/// A slice of shop/web that does not decode.
fn broken(slice_name: &str) -> EndpointSliceObject {
    EndpointSliceObject { content: Err("endpoints: odd".to_owned()), ..slice(slice_name, 1, &[]) }
}

fn worker(node: &str, addresses: &[&str]) -> NodeObject {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    NodeObject { name: node.to_owned(), addresses, ..NodeObject::default() }
}

fn workers() -> Vec<Object> {
    let node = |number: u8| Object::Node(worker(&format!("w{number}"), &[&format!("192.0.2.{number}")]));
    let own = Object::Node(worker(super::fixture::NODE, &["192.0.2.100"]));
    (1..=4).map(node).chain([own]).collect()
}

/// The Frontend shop/web with one pool that follows the Service web; `settings` are added to `service`.
fn following(settings: &Value) -> Object {
    following_at("203.0.113.1", settings)
}

fn following_at(address: &str, settings: &Value) -> Object {
    let mut service = json!({"name": "web"});
    service.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let spec = with(vip(address, 80, &[]), "pools", json!([{"name": "primary", "service": service}]));
    frontend("shop/web", 1, &spec)
}

fn nodes() -> Value {
    json!({"targets": "Nodes"})
}

fn endpoints() -> Value {
    json!({"targets": "Endpoints"})
}

/// A fixture with Nodes `w1` to `w4`, the Frontend shop/web, and slices.
fn fixture(settings: &Value, slices: Vec<EndpointSliceObject>) -> IndexFixture {
    let mut objects = workers();
    objects.push(following(settings));
    objects.extend(slices.into_iter().map(Object::EndpointSlice));
    IndexFixture::new(objects)
}

/// The members of the first pool of shop/web: name, address and weight; `*` marks a paused server, `?` one whose weight VPP
/// keeps.
fn members(fixture: &IndexFixture) -> Vec<String> {
    let text = |member: &maglev_model::config::Member| {
        let address = member.target.address().map_or_else(|| "-".to_owned(), |address| address.to_string());
        let mark = match &member.target {
            MemberTarget::Unreadable { .. } => "?",
            MemberTarget::Backend(backend) if backend.admin_state == AdminState::Paused => "*",
            MemberTarget::Backend(_) => "",
        };
        format!("{} {address} {}{mark}", member.backend, member.weight)
    };
    fixture.members("shop/web").iter().map(text).collect()
}

/// The names of all Backends of the configuration.
fn backends(fixture: &IndexFixture) -> Vec<String> {
    fixture.config().backends.keys().map(ToString::to_string).collect()
}
