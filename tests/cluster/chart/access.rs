//! Certificates, tokens and permissions of the agents' gRPC as the chart renders them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::harness::cluster;
use super::{render::objects, template};

const AGENT: &str = "DaemonSet/maglevd";
/// Objects of the clients of agents, and the place of their pods' specification.
const CLIENTS: [(&str, &str); 3] = [
    ("Deployment/maglev-controller", "/spec/template/spec"),
    ("Deployment/maglev-frontend", "/spec/template/spec"),
    ("Pod/maglev-test", "/spec"),
];

fn args(objects: &BTreeMap<String, Value>, object: &str, pod: &str) -> Vec<String> {
    let args = objects[object].pointer(&format!("{pod}/containers/0/args")).and_then(Value::as_array);
    args.expect("the container has args").iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn agent_args(objects: &BTreeMap<String, Value>) -> Vec<String> {
    args(objects, AGENT, "/spec/template/spec")
}

/// Sources of the volume with a client's token and authorities.
fn access_volume(objects: &BTreeMap<String, Value>, object: &str, pod: &str) -> Value {
    let volumes = objects[object].pointer(&format!("{pod}/volumes")).and_then(Value::as_array).unwrap();
    volumes.iter().find(|volume| volume["name"] == "agent-access").unwrap()["projected"]["sources"].clone()
}

#[tokio::test]
async fn certificates_have_no_data_and_nobody_may_create_them() {
    let rendered = objects(cluster().await, &[]).await;
    for object in ["Secret/maglev-ca", "Secret/maglevd-tls", "ConfigMap/maglev-ca"] {
        let body = &rendered[object];
        for field in ["data", "stringData", "binaryData"] {
            assert!(body.get(field).is_none(), "{object} has {field}: {body:#}");
        }
    }
    let mut writes = Vec::new();
    for (name, object) in rendered.iter().filter(|(name, _)| name.contains("Role/")) {
        for rule in object["rules"].as_array().unwrap() {
            let resources = rule["resources"].as_array().cloned().unwrap_or_default();
            let is_about = |kind: &str| resources.contains(&json!(kind)) || resources.contains(&json!("*"));
            if is_about("secrets") || is_about("configmaps") || is_about("serviceaccounts/token") {
                writes.push(format!("{name} {resources:?} {} {}", rule["verbs"], rule["resourceNames"]));
            }
        }
    }
    writes.sort();
    let line = |role: &str, kind: &str, verbs: &[&str], names: &[&str]| {
        format!("Role/{role} {:?} {} {}", [json!(kind)], json!(verbs), json!(names))
    };
    assert_eq!(
        writes,
        [
            line("maglev-controller", "configmaps", &["get", "update"], &["maglev-ca"]),
            line("maglev-controller", "secrets", &["get", "update"], &["maglev-ca", "maglevd-tls"]),
            line("maglevc-operator", "configmaps", &["get"], &["maglev-ca"]),
            line("maglevc-operator", "serviceaccounts/token", &["create"], &["maglevc-viewer", "maglevc-operator"]),
            line("maglevc-viewer", "configmaps", &["get"], &["maglev-ca"]),
            line("maglevc-viewer", "serviceaccounts/token", &["create"], &["maglevc-viewer"]),
        ]
    );
}

#[tokio::test]
async fn agents_require_tokens_of_the_releases_accounts_by_default() {
    let rendered = objects(cluster().await, &["grpc.viewers={system:serviceaccount:monitoring:reader}"]).await;
    let agent = agent_args(&rendered);
    let user = |name: &str| format!("system:serviceaccount:maglev-system:{name}");
    let viewers = ["maglev-controller", "maglev-frontend", "maglev-test", "maglevc-viewer"].map(user).join(",");
    for flag in [
        "--grpc-auth=required".to_owned(),
        "--grpc-tls-dir=/etc/maglevd/grpc-tls".to_owned(),
        "--grpc-tls-addr=$(POD_IP):9094,127.0.0.1:9094".to_owned(),
        format!("--grpc-viewer={viewers},system:serviceaccount:monitoring:reader"),
        format!("--grpc-operator={}", user("maglevc-operator")),
    ] {
        assert!(agent.contains(&flag), "{flag} is not in {agent:#?}");
    }
    let volume = rendered[AGENT].pointer("/spec/template/spec/volumes/1").unwrap();
    assert_eq!((&volume["secret"]["secretName"], &volume["secret"]["optional"]), (&json!("maglevd-tls"), &json!(true)));
    for (object, pod) in CLIENTS {
        let args = args(&rendered, object, pod);
        for flag in ["--agent-ca-file=/var/run/maglev/ca.crt", "--agent-token-file=/var/run/maglev/token"] {
            assert!(args.iter().any(|arg| arg == flag), "{flag} is not in {args:#?}");
        }
        assert!(!args.iter().any(|arg| arg == "--agent-plain-fallback"), "{object}: {args:?}");
        let sources = access_volume(&rendered, object, pod);
        assert_eq!(
            sources[0]["serviceAccountToken"],
            json!({"path": "token", "audience": "maglevd.maglev.vpp.io", "expirationSeconds": 3600})
        );
        assert_eq!(
            (&sources[1]["configMap"]["name"], &sources[1]["configMap"]["optional"]),
            (&json!("maglev-ca"), &json!(true))
        );
    }
}

#[tokio::test]
async fn permissive_clients_fall_back_and_modes_change_the_source_of_certificates() {
    let cluster = cluster().await;
    let permissive = objects(cluster, &["grpc.auth=permissive"]).await;
    assert!(agent_args(&permissive).contains(&"--grpc-auth=permissive".to_owned()));
    for (object, pod) in CLIENTS {
        assert!(args(&permissive, object, pod).contains(&"--agent-plain-fallback".to_owned()), "{object}");
    }

    let own = "grpc.tls.mode=secret,grpc.tls.secretName=mine,grpc.tls.caConfigMap=authorities";
    let own = objects(cluster, &[own]).await;
    let cert_manager = objects(cluster, &["grpc.tls.mode=certManager"]).await;
    for rendered in [&own, &cert_manager] {
        assert!(!rendered.contains_key("Secret/maglev-ca") && !rendered.contains_key("ConfigMap/maglev-ca"));
        let controller = args(rendered, "Deployment/maglev-controller", "/spec/template/spec");
        assert!(!controller.contains(&"--agent-certificates".to_owned()), "{controller:?}");
        assert!(!rendered["Role/maglev-controller"].to_string().contains("secrets"), "the controller reads no Secret");
    }
    assert_eq!(own[AGENT].pointer("/spec/template/spec/volumes/1/secret/secretName"), Some(&json!("mine")));
    let names = [json!("authorities"), json!("maglevd-tls")];
    for ((rendered, kind), name) in [(&own, "configMap"), (&cert_manager, "secret")].into_iter().zip(names) {
        let source = access_volume(rendered, "Deployment/maglev-controller", "/spec/template/spec");
        assert_eq!(source[1][kind]["name"], name);
        assert_eq!(source[1][kind]["items"], json!([{"key": "ca.crt", "path": "ca.crt"}]), "and no key");
    }
    let certificate = &cert_manager["Certificate/maglevd-tls"]["spec"];
    assert_eq!(certificate["dnsNames"], json!(["maglevd.maglev-system.maglev.vpp.io"]));
    assert_eq!(certificate["issuerRef"], json!({"name": "maglev-ca", "kind": "Issuer"}));
    let issuer = "grpc.tls.mode=certManager,grpc.tls.issuerRef.name=own,grpc.tls.issuerRef.kind=ClusterIssuer";
    let issuer = objects(cluster, &[issuer]).await;
    assert_eq!(
        issuer["Certificate/maglevd-tls"]["spec"]["issuerRef"],
        json!({"name": "own", "kind": "ClusterIssuer", "group": "cert-manager.io"})
    );
    assert!(!issuer.contains_key("Issuer/maglev-ca"));
    for (values, message) in [
        ("grpc.tls.mode=secret,grpc.tls.caConfigMap=x", "grpc.tls.secretName is empty"),
        ("grpc.tls.mode=secret,grpc.tls.secretName=x", "grpc.tls.caConfigMap is empty"),
        ("metrics.auth=token", "metrics.viewers is empty"),
        ("grpc.auth=off", "grpc"),
    ] {
        let refused = template(cluster, "maglev", &["--set", values]).await.unwrap_err();
        assert!(refused.contains(message), "{values}: {refused}");
    }
}

#[tokio::test]
async fn metrics_of_every_program_can_require_a_token() {
    let values = "metrics.auth=token,metrics.viewers={system:serviceaccount:monitoring:prometheus}";
    let (with, without) = (objects(cluster().await, &[values]).await, objects(cluster().await, &[]).await);
    for object in [AGENT, "Deployment/maglev-controller", "Deployment/maglev-frontend"] {
        let flag = "--metrics-viewer=system:serviceaccount:monitoring:prometheus".to_owned();
        assert!(args(&with, object, "/spec/template/spec").contains(&flag), "{object}");
        let without = args(&without, object, "/spec/template/spec");
        assert!(!without.iter().any(|arg| arg.starts_with("--metrics-viewer")), "{object}: {without:?}");
    }
}
