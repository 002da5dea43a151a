//! The custom resources in the real API server: definitions, `kubectl explain`, columns, defaults and field ownership.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use maglev_crd::{
    Frontend, FrontendSpec, HealthCheck, HealthCheckSpec, MAX_ACCEPTED_HOLDS, MaglevNode, MaglevNodeFields, Weight,
};
use serde_json::{Value, json};

use super::harness::{cluster, committed_crds, own_control_plane};

#[tokio::test]
async fn crds_apply_without_warnings() {
    let cluster = cluster().await;
    // The names are changed so that the CRDs are new: of an existing CRD the API server checks only the changes.
    let renamed = committed_crds().into_iter().map(|mut crd| {
        crd.spec.group = "copy.vpp.io".into();
        crd.metadata.name = Some(format!("{}.copy.vpp.io", crd.spec.names.plural));
        serde_json::to_string(&crd).unwrap()
    });
    let renamed: Vec<_> = renamed.collect();
    assert_eq!(renamed.len(), 6);
    let apply = ["apply", "--server-side", "--dry-run=server", "--warnings-as-errors", "-f", "-"];
    let output = cluster.kubectl_with(&apply, &renamed.join("\n---\n")).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let crds: Api<CustomResourceDefinition> = Api::all(cluster.client().await);
    for crd in committed_crds() {
        let status = crds.get_status(&crd.metadata.name.unwrap()).await.unwrap().status.unwrap();
        for condition in status.conditions.unwrap() {
            let is_allowed = matches!(condition.type_.as_str(), "NamesAccepted" | "Established");
            assert_eq!((condition.status.as_str(), is_allowed), ("True", true), "{condition:?}");
        }
    }
}

#[tokio::test]
async fn examples_apply_without_warnings_and_are_printed_in_columns() {
    // AddressPolicies would apply to the namespaces of all tests.
    let cluster = own_control_plane("examples", false).await;
    let namespace = cluster.namespace("examples").await;
    let apply = ["apply", "--server-side", "--warnings-as-errors", "-n", &namespace, "-f", "examples"];
    cluster.kubectl(&apply).await;

    let columns = async |kind: &str, wide: bool| {
        let args = ["get", kind, "-n", &namespace, "-o", if wide { "wide" } else { "" }];
        let table = cluster.kubectl(&args[..if wide { 6 } else { 4 }]).await;
        let rows: Vec<Vec<String>> =
            table.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
        (rows[0].join(" "), rows)
    };
    let (head, rows) = columns("mfe", false).await;
    assert_eq!(head, "NAME VIP PROTO PORT BACKENDS NODES PROGRAMMED AVAILABLE AGE");
    let web = rows.iter().find(|row| row[0] == "web").unwrap();
    assert_eq!(web[1..6], ["203.0.113.10", "TCP", "80", "Unknown", "Unknown"]);
    let (head, rows) = columns("mfe", true).await;
    assert!(head.ends_with("AVAILABLE AGE ENCAP REASON"), "{head}");
    assert!(rows[1].ends_with(&["GRE".into(), "Pending".into()]), "{rows:?}");
    assert_eq!(columns("mbe", false).await.0, "NAME ADDRESS STATE ADMIN CHECK SINCE AGE");
    let (head, rows) = columns("mhc", false).await;
    assert_eq!(head, "NAME TYPE PORT INTERVAL AGE");
    assert!(rows.iter().any(|row| row[..4] == ["web", "HTTP", "8080", "2s"]), "{rows:?}");
    assert_eq!(columns("mlbc", false).await.0, "NAME NODES AGE");
    assert_eq!(columns("mpol", false).await.0, "NAME NAMESPACES FRONTENDS BACKENDS VIOLATIONS AGE");

    let all = cluster.kubectl(&["get", "maglev", "-n", &namespace, "-o", "name"]).await;
    for name in ["frontend.maglev.vpp.io/web", "backend.maglev.vpp.io/web-1", "healthcheck.maglev.vpp.io/web"] {
        assert!(all.contains(name), "{name} is not in the category maglev: {all}");
    }
}

#[tokio::test]
async fn explain_shows_effects_and_defaults_of_fields() {
    for (field, texts) in [
        ("frontend", &["A virtual IP address", "cannot be changed"][..]),
        (
            "frontend.spec",
            &["enum: TCP, UDP", "TCP or UDP. Set it together with port", "Default: 8192", "cuts all flows"],
        ),
        ("frontend.spec.encap.type", &["GRE (the default)", "IPv4 only"]),
        ("frontend.spec.encap.nat", &["Not supported"]),
        ("loadbalancerconfig.spec.sync.foreignVIPs", &["removed, except NAT VIPs"]),
        ("frontend.spec.pools.backends.weight", &["If absent, 10", "a change that an operator made by hand"]),
        ("backend.spec.adminState", &["Paused: the backend gets no new flows", "If absent, Enabled"]),
        ("healthcheck.spec", &["Default: 2s", "100ms to 1h", "not longer than interval"]),
        ("loadbalancerconfig.spec.sync.massRemovalHold", &["Default: 5m"]),
        ("maglevnode", &["Created by the controller, which writes the status; users write the spec"]),
        ("frontend.status.conditions", &["Programmed: VPP on every node matches the spec"]),
    ] {
        let text = cluster().await.kubectl(&["explain", field]).await;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for expected in texts {
            assert!(text.contains(expected), "{expected:?} is not in explain {field}: {text}");
        }
        assert!(!text.contains("Auto-generated"), "{text}");
    }
}

#[tokio::test]
async fn new_object_has_defaults_and_pending_conditions() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("defaults").await;
    let checks: Api<HealthCheck> = Api::namespaced(cluster.client().await, &namespace);
    let spec = json!({ "type": "HTTP", "port": 80, "tls": null, "http": { "host": null } });
    let object = json!({
        "apiVersion": "maglev.vpp.io/v1alpha1", "kind": "HealthCheck", "metadata": { "name": "a" }, "spec": spec,
    });
    // A plain create drops nulls; a server-side apply refuses them.
    let resource = ApiResource::erase::<HealthCheck>(&());
    let objects: Api<DynamicObject> = Api::namespaced_with(cluster.client().await, &namespace, &resource);
    objects.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    let created = checks.get("a").await.unwrap();
    // The API server and the types apply the same defaults.
    let expected: HealthCheckSpec = serde_json::from_value(spec).unwrap();
    assert_eq!(created.spec, expected);
    assert_eq!(serde_json::to_value(&created.spec).unwrap()["interval"], "2s");
    let conditions = created.status.unwrap().conditions;
    let conditions: Vec<_> =
        conditions.iter().map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str())).collect();
    assert_eq!(conditions, [("Accepted", "Unknown", "Pending"), ("Ready", "Unknown", "Pending")]);
}

#[tokio::test]
async fn status_has_at_most_twelve_conditions() {
    let nodes: Api<MaglevNode> = Api::all(cluster().await.client().await);
    nodes.create(&PostParams::default(), &MaglevNode::new("conditions", MaglevNodeFields::default())).await.unwrap();
    let conditions = |count: u32| -> Value {
        let condition = |n| {
            json!({
                "type": format!("Type{n}"), "status": "True", "reason": "Test", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        json!({ "status": { "conditions": (0..count).map(condition).collect::<Vec<_>>() } })
    };
    let write =
        async |count| nodes.patch_status("conditions", &PatchParams::default(), &Patch::Merge(conditions(count))).await;
    assert_eq!(write(12).await.unwrap().status.unwrap().conditions.len(), 12);
    let refused = write(13).await.unwrap_err().to_string();
    assert!(refused.contains("at most 12 items"), "{refused}");
}

#[tokio::test]
async fn maglev_node_accepts_at_most_eight_hold_ids() {
    let nodes: Api<MaglevNode> = Api::all(cluster().await.client().await);
    let created = nodes.create(&PostParams::default(), &MaglevNode::new("holds", MaglevNodeFields::default())).await;
    assert_eq!(created.unwrap().spec.spec, None, "a MaglevNode needs no spec");
    let write = async |ids: Vec<String>| {
        let patch = json!({ "spec": { "acceptRemovals": ids } });
        nodes.patch("holds", &PatchParams::default(), &Patch::Merge(patch)).await
    };
    let ids = |count: usize| (0..count).map(|n| format!("{n:08x}")).collect::<Vec<_>>();
    let written = write(ids(MAX_ACCEPTED_HOLDS)).await.unwrap();
    assert_eq!(written.spec.spec.unwrap().accept_removals, Some(ids(MAX_ACCEPTED_HOLDS)));
    let refused = write(ids(MAX_ACCEPTED_HOLDS + 1)).await.unwrap_err().to_string();
    assert!(refused.contains("must have at most 8 items"), "{refused}");
    for wrong in ["h1", "0000000G", "000000001", ""] {
        let refused = write(vec![wrong.to_owned()]).await.unwrap_err().to_string();
        assert!(refused.contains("spec.acceptRemovals[0]"), "{refused}");
    }
    // The status is a resource of its own.
    let status = json!({ "spec": { "acceptRemovals": null }, "status": { "vips": 7 } });
    let written = nodes.patch_status("holds", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    assert_eq!(written.spec.spec.unwrap().accept_removals, Some(ids(MAX_ACCEPTED_HOLDS)));
}

/// The API server limits the cost of CEL rules, which it estimates for a CRD and counts for each object.
#[tokio::test]
async fn largest_objects_stay_within_the_cel_cost_limit() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("large").await;
    let backend = |n| json!({ "name": format!("b{n:03}{}", "x".repeat(249)), "weight": 100 });
    let backends: Vec<Value> = (0..256).map(backend).collect();
    let pools: Vec<Value> = (0..8).map(|n| json!({ "name": format!("pool-{n}"), "backends": backends })).collect();
    let spec: FrontendSpec = serde_json::from_value(json!({ "address": "203.0.113.1", "pools": pools })).unwrap();
    let frontends: Api<Frontend> = Api::namespaced(cluster.client().await, &namespace);
    let created = frontends.create(&PostParams::default(), &Frontend::new("large", spec)).await.unwrap();
    frontends.replace("large", &PostParams::default(), &created).await.unwrap();

    let header = |n| json!({ "name": format!("X-{n:062}"), "value": "v".repeat(1024) });
    let spec: HealthCheckSpec = serde_json::from_value(json!({
        "type": "HTTPS", "port": 443, "tls": { "serverName": "a".repeat(253) },
        "http": {
            "path": format!("/{}", "p".repeat(1023)), "host": "a".repeat(253), "expectedBody": "(a|b)".repeat(204),
            "expectedStatuses": (200..216).map(|n| n.to_string()).collect::<Vec<_>>(),
            "headers": (0..16).map(header).collect::<Vec<_>>(),
        },
    }))
    .unwrap();
    let checks: Api<HealthCheck> = Api::namespaced(cluster.client().await, &namespace);
    checks.create(&PostParams::default(), &HealthCheck::new("large", spec)).await.unwrap();
}

#[tokio::test]
async fn manifest_without_a_weight_does_not_reset_it() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("night").await;
    let frontends: Api<Frontend> = Api::namespaced(cluster.client().await, &namespace);
    let apply = async |manager: &str, pools: Value| {
        let object = json!({
            "apiVersion": "maglev.vpp.io/v1alpha1", "kind": "Frontend", "metadata": { "name": "web" },
            "spec": { "address": "203.0.113.1", "pools": pools },
        });
        frontends.patch("web", &PatchParams::apply(manager), &Patch::Apply(object)).await.unwrap()
    };
    let from_git = json!([
        { "name": "first", "backends": [{ "name": "a" }, { "name": "b" }] },
        { "name": "second", "backends": [{ "name": "c" }] },
    ]);
    apply("gitops", from_git.clone()).await;
    // The pools and members keep the manifest's order, although the operator applies only one of them.
    apply("operator", json!([{ "name": "first", "backends": [{ "name": "b", "weight": 0 }] }])).await;
    let after = apply("gitops", from_git).await;
    let weights: Vec<_> = after.spec.pools.iter().flat_map(maglev_crd::Pool::named_backends).collect();
    let weights: Vec<_> = weights.iter().map(|b| (b.name.as_str(), b.weight.map(Weight::get))).collect();
    assert_eq!(weights, [("a", None), ("b", Some(0)), ("c", None)]);
}
