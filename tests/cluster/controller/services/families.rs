//! The address families of Services.

use serde_json::json;

use super::Scene;

#[tokio::test]
async fn second_family_is_given_as_soon_as_there_is_an_address() {
    let scene = Scene::start("svc-families", &["203.0.124.0/29"]).await;
    scene.create("prefers", &json!({"ipFamilyPolicy": "PreferDualStack"})).await;
    scene.create("requires", &json!({"ipFamilyPolicy": "RequireDualStack"})).await;
    scene.until_state("prefers", "203.0.124.1 Accepted").await;
    scene.until_state("requires", "NoAddressPolicy").await;
    scene.until_frontends(&["prefers-80-tcp 203.0.124.1 Nodes Cluster"]).await;

    scene.set_policy(&["203.0.124.0/29", "2001:db8:124::/64"]).await;
    let one = ["203.0.124.1,2001:db8:124::1 Accepted", "203.0.124.2,2001:db8:124::2 Accepted"];
    let other = ["203.0.124.1,2001:db8:124::2 Accepted", "203.0.124.2,2001:db8:124::1 Accepted"];
    crate::harness::eventually("both have both families", async || {
        let states = [scene.state("prefers").await, scene.state("requires").await];
        (states == one || states == other).then_some(())
    })
    .await;
    let frontends = scene.frontends().await;
    let names: Vec<&str> = frontends.iter().filter_map(|text| text.split(' ').next()).collect();
    assert_eq!(names, ["prefers-80-tcp", "prefers-80-tcp-v6", "requires-80-tcp", "requires-80-tcp-v6"]);
    scene.end().await;
}
