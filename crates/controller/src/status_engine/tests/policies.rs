//! The statuses of AddressPolicies, and of the objects that they concern.

use serde_json::json;

use super::scene::Scene;
use crate::status::Status;
use maglev_crd::AddressPolicyStatus;

fn numbers(scene: &Scene, policy: &str) -> [Option<i32>; 4] {
    let Status::AddressPolicy(status) = scene.status("AddressPolicy", policy) else { panic!("an AddressPolicy") };
    let AddressPolicyStatus { namespaces, frontends, backends, violations, .. } = status;
    [namespaces, frontends, backends, violations]
}

#[test]
fn policy_counts_what_it_allows_and_names_what_it_does_not() {
    let mut scene = Scene::programmed(&["a"]);
    let spec = json!({
        "namespaces": {"names": ["shop"]},
        "frontends": {"addresses": ["203.0.113.0/24"]}, "backends": {"addresses": ["10.0.0.0/24"]},
    });
    scene.object("AddressPolicy", "shop", &spec);
    scene.reconcile();
    assert_eq!(numbers(&scene, "shop"), [Some(1), Some(1), Some(1), Some(0)]);
    assert_eq!(scene.condition_of("AddressPolicy", "shop", "Ready"), "True Ready");
    assert_eq!(scene.condition("shop/web", "Accepted"), "True Accepted");

    scene.object("AddressPolicy", "shop", &json!({"namespaces": {"names": ["shop"]}}));
    scene.reconcile();
    assert_eq!(numbers(&scene, "shop"), [Some(1), Some(0), Some(0), Some(2)]);
    assert_eq!(scene.condition_of("AddressPolicy", "shop", "Violated"), "True Violated");
    assert_eq!(scene.condition("shop/web", "Accepted"), "False AddressNotAllowed");
    assert_eq!(scene.condition_of("Backend", "shop/one", "Accepted"), "False AddressNotAllowed");
    let message = scene.message("shop/web", "Accepted");
    assert!(message.contains("spec.address") && message.contains("may use none"), "{message}");

    scene.object("AddressPolicy", "shop", &json!({"namespaces": {"names": ["shop"]}, "mode": "Audit"}));
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "Accepted"), "True Accepted");
    assert_eq!(scene.condition("shop/web", "PolicyViolation"), "True PolicyViolation");
    assert_eq!(scene.condition_of("Backend", "shop/one", "PolicyViolation"), "True PolicyViolation");
    assert_eq!(numbers(&scene, "shop"), [Some(1), Some(0), Some(0), Some(2)]);

    scene.delete("AddressPolicy", "shop");
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "PolicyViolation"), "");
}

#[test]
fn policy_that_gives_addresses_counts_them() {
    let mut scene = Scene::programmed(&["a"]);
    let spec = json!({"frontends": {"addresses": ["203.0.113.0/24"], "assign": "Auto"}});
    scene.object("AddressPolicy", "pool", &spec);
    scene.reconcile();
    let numbers = |scene: &Scene| {
        let Status::AddressPolicy(status) = scene.status("AddressPolicy", "pool") else { panic!("an AddressPolicy") };
        (status.allocated, status.available)
    };
    assert_eq!(numbers(&scene), (Some(1), Some(253)));
    scene.object("AddressPolicy", "pool", &json!({"frontends": {"addresses": ["203.0.113.0/24"]}}));
    scene.reconcile();
    assert_eq!(numbers(&scene), (None, None));
    scene.object("AddressPolicy", "pool", &json!({"frontends": {"addresses": ["2001:db8::/64"], "assign": "Auto"}}));
    scene.reconcile();
    assert_eq!(numbers(&scene), (Some(0), Some(i32::MAX)));
}

#[test]
fn unreadable_policy_is_not_accepted() {
    let mut scene = Scene::programmed(&["a"]);
    scene.object("AddressPolicy", "broken", &json!({"frontends": {"addresses": ["203.0.113.0"]}}));
    scene.reconcile();
    assert_eq!(scene.condition_of("AddressPolicy", "broken", "Accepted"), "False Unreadable");
    assert_eq!(scene.condition("shop/web", "Accepted"), "False AddressNotAllowed");
}
