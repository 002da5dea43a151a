//! Frontends that need weights, on nodes whose VPP has none.

use std::sync::Arc;

use serde_json::json;

use super::scene::{Scene, frontend_spec};
use maglev_model::{
    actual::{Actual, ActualConf},
    change::Change,
};

#[test]
fn unequal_weights_and_ramps_without_effect_are_degraded() {
    let mut scene = Scene::programmed(&["a", "b"]);
    scene.backend("shop/two", "10.0.0.2");
    let conf = ActualConf {
        ipv4_source: std::net::Ipv4Addr::BROADCAST,
        ipv6_source: std::net::Ipv6Addr::LOCALHOST,
        sticky_buckets_per_core: 1024,
        flow_timeout: 40,
    };
    for (node, weightless) in [("a", true), ("b", false)] {
        scene.apply_change(node, Change::VppConnected(Arc::default()));
        scene.apply_change(node, Change::VppState(conf, Arc::new(Actual { weightless, ..Actual::default() })));
    }
    let mut degraded = |spec| {
        scene.frontend("shop/web", &spec);
        scene.reconcile();
        (scene.condition("shop/web", "Degraded"), scene.message("shop/web", "Degraded"))
    };
    let spec = frontend_spec(&["one", "two"]);
    assert_eq!(degraded(spec.clone()).0, "");
    let mut ramped = spec.clone();
    ramped["rampUp"] = json!({"duration": "1m", "steps": 5});
    let (condition, message) = degraded(ramped.clone());
    assert_eq!(condition, "True WeightsUnsupported");
    assert_eq!(
        message,
        "Frontend shop/web: spec.rampUp is set, but VPP on a does not support weights: the backends get their whole share at \
         once there"
    );
    ramped["pools"][0]["backends"][0]["weight"] = json!(20);
    let (condition, message) = degraded(ramped);
    assert_eq!(condition, "True WeightsUnsupported");
    assert!(message.contains("spec.pools has backends with different weights"), "{message}");
}
