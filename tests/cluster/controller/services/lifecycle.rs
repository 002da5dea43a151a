//! Services that are served, change, and go.

use serde_json::json;

use super::Scene;
use crate::harness::{eventually, own_control_plane};

#[tokio::test]
async fn services_get_addresses_and_frontends() {
    let scene = Scene::start("svc-served", &["203.0.114.0/29", "2001:db8:114::/64"]).await;
    scene.create("cluster", &json!({})).await;
    scene.until_state("cluster", "203.0.114.1 Accepted").await;
    scene.until_frontends(&["cluster-80-tcp 203.0.114.1 Nodes Cluster"]).await;
    let frontend = scene.get("mfe/cluster-80-tcp").await;
    let service = scene.get("svc/cluster").await;
    assert_eq!(frontend["metadata"]["ownerReferences"][0]["uid"], service["metadata"]["uid"]);
    assert_eq!(frontend["spec"]["pools"][0]["service"]["port"], "http");
    for reason in ["AddressAssigned", "ClientAddressHidden"] {
        scene.until_event("cluster", reason).await;
    }

    // Local, dual stack, ClientIP and annotations.
    let mut local = scene.service(
        "local",
        &json!({
            "externalTrafficPolicy": "Local", "ipFamilyPolicy": "PreferDualStack", "sessionAffinity": "ClientIP",
            "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}],
        }),
    );
    local["metadata"]["annotations"] =
        json!({"maglev.vpp.io/table-length": "1024", "maglev.vpp.io/on-backend-down": "Keep"});
    scene.apply(&local).await;
    scene.until_state("local", "203.0.114.2,2001:db8:114::1 Accepted").await;
    let expected = [
        "cluster-80-tcp 203.0.114.1 Nodes Cluster",
        "local-53-udp 203.0.114.2 Nodes Local",
        "local-53-udp-v6 2001:db8:114::1 Nodes Local",
    ];
    scene.until_frontends(&expected).await;
    let spec = scene.get("mfe/local-53-udp").await["spec"].clone();
    let settings = ["tableLength", "onBackendDown", "sessionAffinity"].map(|field| spec[field].clone());
    assert_eq!(settings, [json!(1024), json!("Keep"), json!("ClientIP")]);

    // A Service without selector.
    scene
        .apply(&{
            let mut outside = scene.service("outside", &json!({}));
            outside["spec"].as_object_mut().unwrap().remove("selector");
            outside
        })
        .await;
    scene.until_state("outside", "203.0.114.3 Accepted").await;
    assert!(scene.frontends().await.contains(&"outside-80-tcp 203.0.114.3 Endpoints".to_owned()));
    eventually("the policy counts its addresses", async || {
        let status = scene.get(&format!("mpol/{}", scene.namespace)).await["status"].clone();
        (status["allocated"] == 4 && status["available"] == i32::MAX).then_some(())
    })
    .await;
    let namespace = &scene.namespace;
    let shown = scene.maglevc(&["show", "addresses", "-o", "wide"]).await;
    assert!(shown.contains(&format!("203.0.114.2 Service {namespace}/local")), "{shown}");
    assert!(shown.contains(&format!("{namespace} 203.0.114.0/29, 2001:db8:114::/64 4 many")), "{shown}");
    let explained = scene.maglevc(&["why", "service", &format!("{namespace}/local")]).await;
    for line in ["Addresses: 203.0.114.2, 2001:db8:114::1", "Accepted: True", "local-53-udp-v6 2001:db8:114::1 True"] {
        assert!(explained.contains(line), "{line} is not in {explained}");
    }
    scene.end().await;
}

#[tokio::test]
async fn addresses_survive_leaders_policies_and_edits() {
    let mut scene = Scene::start("svc-stays", &["203.0.115.0/29"]).await;
    for name in ["one", "two"] {
        scene.create(name, &json!({})).await;
        scene.until_state(name, if name == "one" { "203.0.115.1 Accepted" } else { "203.0.115.2 Accepted" }).await;
    }
    // The leader is killed between an address and the status: the Frontend is there, the status is not.
    scene.kill().await;
    let cleared = json!({"status": {"loadBalancer": null, "conditions": null}}).to_string();
    let args = ["patch", "svc/two", "-n", &scene.namespace, "--subresource=status", "--type=merge", "-p", &cleared];
    scene.cluster.kubectl(&args).await;
    assert_eq!(scene.state("two").await, "");
    scene.set_policy(&["198.51.101.0/29"]).await;
    scene.create("three", &json!({})).await;
    scene.lead("second").await;
    scene.until_state("three", "198.51.101.1 Accepted").await;
    // The status of the second Service is restored although the policy does not allow the address any more.
    let frontends = scene.frontends().await;
    assert!(frontends.contains(&"two-80-tcp 203.0.115.2 Nodes Cluster".to_owned()), "{frontends:?}");
    scene.set_policy(&["198.51.101.0/29", "203.0.115.0/29"]).await;
    scene.until_state("two", "203.0.115.2 Accepted").await;
    scene.until_state("one", "203.0.115.1 Accepted").await;

    // The name of the port, its policy and the ports change; the address stays.
    let ports = json!([{"name": "web", "port": 80, "targetPort": 8080}, {"name": "tls", "port": 443}]);
    scene.patch("svc/one", &json!({"spec": {"ports": ports, "externalTrafficPolicy": "Local"}})).await;
    eventually("the Frontends follow", async || {
        let frontends = scene.frontends().await;
        let has = |text: &str| frontends.iter().any(|frontend| frontend == text);
        (has("one-80-tcp 203.0.115.1 Nodes Local") && has("one-443-tcp 203.0.115.1 Nodes Local")).then_some(())
    })
    .await;
    eventually("the port is renamed", async || {
        let spec = scene.get("mfe/one-80-tcp").await["spec"].clone();
        (spec["pools"][0]["service"]["port"] == "web").then_some(())
    })
    .await;
    // A change by hand is undone.
    scene.patch("mfe/one-80-tcp", &json!({"spec": {"tableLength": 256}})).await;
    eventually("the table length is restored", async || {
        (scene.get("mfe/one-80-tcp").await["spec"]["tableLength"] == 8192).then_some(())
    })
    .await;
    scene.patch("svc/one", &json!({"spec": {"ports": [{"name": "tls", "port": 443}]}})).await;
    let expected = [
        "one-443-tcp 203.0.115.1 Nodes Local",
        "three-80-tcp 198.51.101.1 Nodes Cluster",
        "two-80-tcp 203.0.115.2 Nodes Cluster",
    ];
    scene.until_frontends(&expected).await;

    // The type changes, and a Service is deleted: there is no garbage collector here.
    let cluster_ip = json!({"spec": {"type": "ClusterIP", "loadBalancerClass": null, "externalTrafficPolicy": null}});
    scene.patch("svc/one", &cluster_ip).await;
    scene.cluster.kubectl(&["delete", "svc/two", "-n", &scene.namespace]).await;
    scene.until_frontends(&["three-80-tcp 198.51.101.1 Nodes Cluster"]).await;
    scene.until_state("one", "").await;
    scene.end().await;
}

#[tokio::test]
async fn services_share_an_address_that_they_ask_for() {
    let scene = Scene::start("svc-shared", &["203.0.116.0/29"]).await;
    scene.create_asking("web", "203.0.116.5", &json!({})).await;
    scene.create_asking("api", "203.0.116.5", &json!({"ports": [{"name": "api", "port": 81}]})).await;
    for name in ["web", "api"] {
        scene.until_state(name, "203.0.116.5 Accepted").await;
    }
    scene.create_asking("same", "203.0.116.5", &json!({})).await;
    scene.until_state("same", "AddressTaken").await;
    scene.create("auto", &json!({})).await;
    scene.until_state("auto", "203.0.116.1 Accepted").await;
    // Another address is asked for: the Frontend is created anew.
    let annotations = json!({"metadata": {"annotations": {"maglev.vpp.io/address": "203.0.116.6"}}});
    scene.patch("svc/auto", &annotations).await;
    scene.until_state("auto", "203.0.116.6 Accepted").await;
    let expected = [
        "api-81-tcp 203.0.116.5 Nodes Cluster",
        "auto-80-tcp 203.0.116.6 Nodes Cluster",
        "web-80-tcp 203.0.116.5 Nodes Cluster",
    ];
    scene.until_frontends(&expected).await;
    scene.end().await;
}

#[tokio::test]
async fn frontends_of_long_names_and_many_ports_are_valid() {
    let scene = Scene::start("svc-long", &["203.0.117.0/29"]).await;
    let name = format!("{}-b", "a".repeat(61));
    scene.create(&name, &json!({"ports": [{"name": "http", "port": 65535}]})).await;
    scene.until_state(&name, "203.0.117.1 Accepted").await;
    let frontends = scene.frontends().await;
    let frontend = frontends[0].split(' ').next().unwrap();
    assert!(frontend.len() <= 63 && frontend.ends_with("-65535-tcp"), "{frontend}");
    let ports: Vec<_> = (1..=64).map(|port| json!({"name": format!("p{port}"), "port": port})).collect();
    scene.create("many", &json!({ "ports": ports })).await;
    scene.until_state("many", "203.0.117.2 Accepted").await;
    assert_eq!(scene.frontends().await.len(), 65);
    // Another Service whose name differs only in the part that is shortened away.
    let name = format!("{}-c", "a".repeat(61));
    scene.create(&name, &json!({"ports": [{"name": "http", "port": 65535}]})).await;
    scene.until_state(&name, "203.0.117.3 Accepted").await;
    assert_eq!(scene.frontends().await.len(), 66);
    scene.end().await;
}

#[tokio::test]
async fn deleted_namespace_is_finalized_while_the_controller_runs() {
    let plane = own_control_plane("svc-namespace", true).await;
    let scene = Scene::start_on(Box::new(Box::new(plane)), "svc-namespace", &["203.0.120.0/29"]).await;
    let victim = scene.cluster.namespace("svc-victim").await;
    let names = json!({"spec": {"namespaces": {"names": [scene.namespace, victim]}}}).to_string();
    scene.cluster.kubectl(&["patch", "mpol", &scene.namespace, "--type=merge", "-p", &names]).await;
    let mut service = scene.service("web", &json!({}));
    service["metadata"]["namespace"] = json!(victim);
    scene.cluster.apply(&victim, &service.to_string()).await.unwrap();
    let frontends = async || scene.cluster.kubectl(&["get", "mfe", "-A", "-o", "name"]).await;
    eventually("the Frontend exists", async || frontends().await.contains("web-80-tcp").then_some(())).await;

    scene.cluster.kubectl(&["delete", "namespace", &victim, "--timeout=60s"]).await;
    assert_eq!(frontends().await.trim(), "");
    // The garbage collector deletes the Frontends of a Service, too.
    scene.create("web", &json!({})).await;
    scene.until_state("web", "203.0.120.2 Accepted").await;
    scene
        .cluster
        .kubectl(&["delete", "svc/web", "-n", &scene.namespace, "--cascade=foreground", "--timeout=30s"])
        .await;
    scene.until_frontends(&[]).await;
    scene.end().await;
}
