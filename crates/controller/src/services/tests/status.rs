//! The status of a Service and its Events.

use std::net::IpAddr;

use maglev_kube::service_objects::{FrontendObject, ServiceObject};
use maglev_model::vip::Family;

use super::objects::{at, condition, service, stored};
use crate::{
    conditions::StatusRevision,
    services::{
        desired::{self, DesiredFrontend},
        request::Request,
        status::{FrontendPair, Outcome, ServiceStatus, status},
    },
};

const ADDRESSES: [&str; 2] = ["203.0.113.1", "2001:db8::1"];

/// A Service with two Frontends whose conditions are `states`: Accepted and Programmed of each.
struct Scene {
    service: ServiceObject,
    desired: Vec<DesiredFrontend>,
    stored: Vec<FrontendObject>,
}

impl Scene {
    fn new(states: [[&str; 2]; 2]) -> Self {
        let service = service("shop/web", |spec| spec.families = vec![Family::V4, Family::V6]);
        let spec = service.spec.clone().unwrap();
        let desired = desired::frontends(&service, &spec, &Request::read(&spec).unwrap(), &addresses());
        let frontends = desired.iter().zip(states).map(|(desired, [accepted, programmed])| {
            let reason = |status: &str, kind: &str| if status == "True" { kind.to_owned() } else { "Held".to_owned() };
            let conditions = vec![
                condition("Accepted", accepted, &reason(accepted, "Accepted")),
                condition("Programmed", programmed, &reason(programmed, "Programmed")),
            ];
            FrontendObject { conditions, ..stored(desired, 1) }
        });
        let stored = frontends.collect();
        Self { service, desired, stored }
    }

    fn status(&self) -> Option<ServiceStatus> {
        let pair = |(desired, stored)| FrontendPair { desired, stored: Some(stored) };
        let frontends: Vec<FrontendPair<'_>> = self.desired.iter().zip(&self.stored).map(pair).collect();
        let addresses = addresses();
        let outcome = Outcome::Served { addresses: &addresses, frontends: &frontends };
        status(&self.service, &outcome, StatusRevision { generation: 0, now: at(60) })
    }

    /// Stores the status. Returns the reasons of the Events.
    fn write(&mut self) -> Vec<String> {
        let Some(new) = self.status() else { return vec!["no write".to_owned()] };
        let ingress = new.status["loadBalancer"]["ingress"].as_array().cloned().unwrap_or_default();
        assert!(ingress.iter().all(|entry| entry["ipMode"] == "VIP"));
        self.service.ingress = ingress.iter().map(|entry| entry["ip"].as_str().unwrap().parse().unwrap()).collect();
        self.service.conditions = serde_json::from_value(new.status["conditions"].clone()).unwrap();
        new.notes.into_iter().map(|note| note.reason).collect()
    }

    fn set(&mut self, frontend: usize, kind: &str, status: &str, reason: &str) {
        let conditions = &mut self.stored[frontend].conditions;
        conditions.retain(|found| found.type_ != kind);
        conditions.push(condition(kind, status, reason));
    }

    fn conditions(&self) -> Vec<String> {
        let text = |found: &maglev_crd::Condition| format!("{} {} {}", found.type_, found.status, found.reason);
        self.service.conditions.iter().map(text).collect()
    }
}

fn addresses() -> Vec<IpAddr> {
    ADDRESSES.map(|address| address.parse().unwrap()).into()
}

#[test]
fn address_is_published_once_its_frontends_are_accepted() {
    let mut scene = Scene::new([["True", "Unknown"], ["Unknown", "Unknown"]]);
    let reasons = scene.write();
    assert_eq!(reasons, ["AddressAssigned", "ClientAddressHidden"]);
    assert_eq!((scene.service.ingress.len(), scene.conditions().len()), (1, 0));
    scene.set(1, "Accepted", "True", "Accepted");
    assert_eq!(scene.write(), ["AddressAssigned"], "the second sentence comes once");
    assert_eq!(scene.service.ingress, addresses());
    assert_eq!(scene.conditions(), ["maglev.vpp.io/Accepted True Accepted"]);
    assert_eq!(scene.write(), ["no write"]);
    scene.set(0, "Programmed", "True", "Programmed");
    assert_eq!(scene.write(), ["no write"]);
    scene.set(1, "Programmed", "True", "Programmed");
    assert!(scene.status().is_some_and(|status| status.is_urgent), "a user may wait for the first success");
    assert_eq!(scene.write(), ["Programmed"]);
}

#[test]
fn address_stays_published_while_a_frontend_is_not_accepted() {
    let mut scene = Scene::new([["True", "True"], ["True", "True"]]);
    scene.write();
    scene.set(0, "Accepted", "False", "AddressNotAllowed");
    scene.set(0, "Programmed", "False", "AddressNotAllowed");
    assert_eq!(scene.write(), ["AddressNotAllowed", "AddressNotAllowed"]);
    assert_eq!(scene.service.ingress, addresses(), "VPP still sends packets to the Nodes");
    let expected =
        ["maglev.vpp.io/Accepted False AddressNotAllowed", "maglev.vpp.io/Programmed False AddressNotAllowed"];
    assert_eq!(scene.conditions(), expected);
    assert!(scene.service.conditions[0].message.starts_with("Frontend web-80-tcp: "));
}

#[test]
fn lost_programming_is_not_urgent() {
    let mut scene = Scene::new([["True", "True"], ["True", "True"]]);
    scene.write();
    let since = scene.service.conditions[0].last_transition_time.clone();
    scene.set(1, "Programmed", "Unknown", "Pending");
    let status = scene.status().unwrap();
    assert!(!status.is_urgent && status.notes.is_empty());
    scene.write();
    assert_eq!(scene.conditions()[1], "maglev.vpp.io/Programmed Unknown Pending");
    assert_eq!(scene.service.conditions[0].last_transition_time, since);
}

#[test]
fn addresses_of_others_in_the_status_are_removed() {
    let mut scene = Scene::new([["True", "True"], ["True", "True"]]);
    scene.write();
    scene.service.has_foreign_ingress = true;
    assert!(scene.status().is_some());
}
