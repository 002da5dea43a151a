//! `show addresses`: the addresses in use, their holders, and what is left.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    output::{Cell, Page, Printable, Table, Time, age},
    style::Style,
};
use maglev_crd::Assign;
use maglev_index::PolicyExplainer;
use maglev_kube::{ReadFrontend, ReadPolicy};
use maglev_model::vip::Service;

/// All addresses of Frontends, and the AddressPolicies that give addresses to Services.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Addresses {
    addresses: Vec<Row>,
    pools: Vec<Pool>,
}

/// An address of one holder.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    address: IpAddr,
    /// `Service NAMESPACE/NAME`, or `Frontend NAMESPACE/NAME` for one that was made by hand.
    holder: String,
    /// The creation of the oldest Frontend.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Time>,
    /// The AddressPolicies that allow all Frontends of the holder.
    policies: Vec<String>,
    ports: Vec<String>,
}

/// The numbers of an AddressPolicy with `assign: Auto`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pool {
    policy: String,
    networks: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocated: Option<i32>,
    /// 2147483647 also stands for more.
    #[serde(skip_serializing_if = "Option::is_none")]
    available: Option<i32>,
}

impl Addresses {
    pub fn new(frontends: &[ReadFrontend], policies: &[ReadPolicy], explainer: &mut PolicyExplainer) -> Self {
        let mut rows: BTreeMap<(IpAddr, String), Row> = BTreeMap::new();
        for ReadFrontend { object, stored } in frontends {
            let Some(address) = object.address else { continue };
            let holder = match &object.owner {
                Some(owner) => format!("Service {}", owner.service),
                None => format!("Frontend {}", object.name),
            };
            let allowing = stored.spec.as_ref().map(|spec| explainer.allowing(&object.name, spec)).unwrap_or_default();
            let allowing: Vec<String> = allowing.iter().map(ToString::to_string).collect();
            let created = (object.created != Timestamp::MAX).then_some(Time(object.created));
            let row = rows.entry((address, holder.clone())).or_insert_with(|| Row {
                address,
                holder,
                since: created,
                policies: allowing.clone(),
                ports: Vec::new(),
            });
            row.since = row.since.into_iter().chain(created).min();
            row.policies.retain(|policy| allowing.contains(policy));
            row.ports.push(port(object.traffic));
        }
        Self { addresses: rows.into_values().collect(), pools: policies.iter().filter_map(Pool::new).collect() }
    }
}

fn port(traffic: Option<Service>) -> String {
    match traffic {
        Some(Service::AllPorts) => "all".to_owned(),
        Some(Service::Port { protocol, port }) => format!("{port}/{}", protocol.as_str()),
        None => "unreadable".to_owned(),
    }
}

impl Pool {
    /// `None` unless the AddressPolicy gives addresses to Services that ask for none.
    fn new(policy: &ReadPolicy) -> Option<Self> {
        let spec = policy.object.spec.as_ref().ok()?;
        let frontends = spec.frontends.as_ref().filter(|frontends| frontends.assign == Assign::Auto)?;
        Some(Self {
            policy: policy.object.meta.name.to_string(),
            networks: frontends.addresses.iter().map(|network| network.get().to_string()).collect(),
            allocated: policy.status.allocated,
            available: policy.status.available,
        })
    }

    /// True if less than a tenth is left.
    fn is_low(&self) -> bool {
        let number = |count: Option<i32>| i64::from(count.unwrap_or(0));
        let (allocated, available) = (number(self.allocated), number(self.available));
        self.available.is_some() && available * 10 < allocated + available
    }
}

impl Printable for Addresses {
    fn page(&self, wide: bool, now: Timestamp) -> Page {
        let mut head = vec!["ADDRESS", "HOLDER", "AGE", "POLICIES"];
        if wide {
            head.push("PORTS");
        }
        let mut table = Table::new(head);
        for row in &self.addresses {
            let policies = if row.policies.is_empty() { Cell::none() } else { row.policies.join(", ").into() };
            let mut cells = vec![
                row.address.to_string().into(),
                row.holder.clone().into(),
                row.since.map_or_else(Cell::none, |since| age(since.0, now).into()),
                policies,
            ];
            if wide {
                cells.push(row.ports.join(", ").into());
            }
            table.row(cells);
        }
        let mut page = Page::default();
        page.table(&table, "no Frontend has an address");
        page.heading("AddressPolicies that give addresses to Services");
        let mut table = Table::new(["  POLICY", "NETWORKS", "ALLOCATED", "AVAILABLE"]);
        for pool in &self.pools {
            let count = |number: Option<i32>| match number {
                Some(i32::MAX) => "many".into(),
                Some(number) => number.to_string().into(),
                None => Cell::none(),
            };
            let available = match pool.available.filter(|_| pool.is_low()) {
                Some(few) => Cell::styled(few.to_string(), Style::Warn),
                None => count(pool.available),
            };
            let name = format!("  {}", pool.policy).into();
            table.row([name, pool.networks.join(", ").into(), count(pool.allocated), available]);
        }
        page.table(&table, "  none: Services get only addresses that they ask for");
        page
    }
}

#[cfg(test)]
mod tests {
    use maglev_crd::{AddressPolicySpec, AddressPolicyStatus, FrontendSpec};
    use maglev_index::{Meta, Stored};
    use maglev_kube::service_objects::{FrontendObject, FrontendOwner};
    use maglev_model::{Name, config::Revision, vip::Protocol};
    use serde_json::{Value, json};

    use super::*;

    fn meta(name: Name, created: i64) -> Meta {
        Meta { name, revision: Revision::default(), created: Timestamp::from_second(created).unwrap() }
    }

    fn frontend(name: &str, address: &str, port: u16, service: Option<&str>, created: i64) -> ReadFrontend {
        let name = Name::namespaced("shop", name);
        let spec = json!({
            "address": address, "protocol": "TCP", "port": port, "pools": [{"name": "p", "backends": []}],
        });
        let spec: FrontendSpec = serde_json::from_value(spec).unwrap();
        let owner = service.map(|service| FrontendOwner { service: name.sibling(service), uid: "u".into() });
        let object = FrontendObject {
            name: name.clone(),
            uid: "u".into(),
            version: "1".to_owned(),
            created: Timestamp::from_second(created).unwrap(),
            is_deleting: false,
            owner,
            address: address.parse().ok(),
            traffic: Some(Service::Port { protocol: Protocol::Tcp, port: port.try_into().unwrap() }),
            spec: Value::Null,
            conditions: Vec::new(),
        };
        ReadFrontend { object, stored: Stored { meta: meta(name, created), spec: Ok(spec) } }
    }

    fn policy(name: &str, spec: &Value, available: i32) -> ReadPolicy {
        let spec: AddressPolicySpec = serde_json::from_value(spec.clone()).unwrap();
        let status =
            AddressPolicyStatus { allocated: Some(57), available: Some(available), ..AddressPolicyStatus::default() };
        ReadPolicy { object: Stored { meta: meta(Name::cluster(name), 0), spec: Ok(spec) }, status }
    }

    #[test]
    fn holders_policies_and_the_rest_are_shown() {
        let auto = |network: &str| json!({"frontends": {"addresses": [network], "assign": "Auto"}});
        let policies = [
            policy("asked", &json!({"frontends": {"addresses": ["203.0.113.0/24"]}}), 0),
            policy("pool", &auto("203.0.113.0/26"), 5),
            policy("wide", &auto("2001:db8::/64"), i32::MAX),
        ];
        let frontends = [
            frontend("web-443-tcp", "203.0.113.1", 443, Some("web"), 900),
            frontend("web-80-tcp", "203.0.113.1", 80, Some("web"), 940),
            frontend("hand", "198.51.100.1", 80, None, 940),
        ];
        let objects = policies.iter().map(|policy| policy.object.clone()).collect();
        let mut explainer = PolicyExplainer::new(objects, Vec::new());
        let shown = Addresses::new(&frontends, &policies, &mut explainer);
        let page = shown.page(true, Timestamp::from_second(1000).unwrap()).to_string();
        let page = anstream::adapter::strip_str(&page).to_string();
        let lines: Vec<String> =
            page.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "ADDRESS HOLDER AGE POLICIES PORTS",
                "198.51.100.1 Frontend shop/hand 60s - 80/tcp",
                "203.0.113.1 Service shop/web 100s asked, pool 443/tcp, 80/tcp",
                "",
                "AddressPolicies that give addresses to Services",
                "POLICY NETWORKS ALLOCATED AVAILABLE",
                "pool 203.0.113.0/26 57 5",
                "wide 2001:db8::/64 57 many",
            ]
        );
        assert!(shown.pools[0].is_low() && !shown.pools[1].is_low());
    }
}
