//! Values of headers: from Secrets that the agent may read, and literal ones of headers for credentials.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use maglev_health::{NetworkProber, ProbeOutcome, ProbeTarget, Probed, Prober as _};
use maglev_model::{
    Name,
    config::{Check, HealthCheck, Probe},
    health::ProbeCode,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    time::timeout,
};

use super::{
    harness::{Cluster, cluster, committed_crds, eventually, own_control_plane},
    maglevd::install_agent_role,
    watches::{Agent, namespace_with_node},
};

const LIMIT: Duration = Duration::from_secs(30);

/// Sends one probe to a server on loopback. Returns the values of the header `Authorization` that the server received.
async fn received_authorization(check: &Arc<HealthCheck>, listener: &TcpListener) -> Vec<String> {
    let prober = NetworkProber::new("test");
    let target = ProbeTarget { address: Ipv4Addr::LOCALHOST.into(), source: None::<IpAddr>, check: Arc::clone(check) };
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut lines, mut values) = (BufReader::new(stream).lines(), Vec::new());
        while let Some(line) = lines.next_line().await.unwrap().filter(|line| !line.is_empty()) {
            values.extend(line.strip_prefix("Authorization: ").map(str::to_owned));
        }
        lines.into_inner().into_inner().write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        values
    };
    let both = timeout(LIMIT, futures::future::join(prober.probe(target, None), server));
    let (Probed { outcome, .. }, values) = both.await.expect("the probe ends");
    assert!(matches!(outcome, ProbeOutcome::Completed { code: ProbeCode::L7Ok, .. }), "{outcome:?}");
    values
}

/// The HealthCheck that the Backend is probed with; `None` while the Backend is not probed.
fn check_in_use(agent: &Agent, namespace: &str) -> Option<Arc<HealthCheck>> {
    let config = agent.config_rx.borrow();
    match &config.as_ref()?.backends.get(&Name::namespaced(namespace, "web"))?.check {
        Check::Probe(check) => Some(Arc::clone(check)),
        _ => None,
    }
}

async fn store_secret(cluster: &Cluster, namespace: &str, key: &str, value: &str) {
    let secret = format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: probe}}, stringData: {{{key}: {value:?}, other: 0th3r}}}}"
    );
    cluster.apply(namespace, &secret).await.unwrap();
}

#[tokio::test]
async fn header_has_the_value_of_its_secret_and_a_missing_one_is_reported() {
    let cluster = cluster().await;
    let namespace = namespace_with_node(cluster, "header-values").await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let objects = format!(
        "
apiVersion: maglev.vpp.io/v1alpha1
kind: HealthCheck
metadata: {{name: check}}
spec:
  type: HTTP
  port: {port}
  http: {{headers: [{{name: Authorization, valueFrom: {{secretKeyRef: {{name: probe, key: token}}}}}}]}}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Backend
metadata: {{name: web}}
spec: {{address: 192.0.2.1, healthCheckRef: {{name: check}}}}
"
    );
    let readable = |secret: &str| {
        format!("agent.rbac.certificates[0].namespace={namespace},agent.rbac.certificates[0].secrets={{{secret}}}")
    };
    install_agent_role(cluster, &namespace, &readable("other")).await;
    cluster.apply(&namespace, &objects).await.unwrap();
    let agent = Agent::start(cluster.client_as(&namespace, "maglevd").await, &namespace);
    let rejected = |reason: &str| {
        format!(
            "config-rejected kind=HealthCheck name={namespace}/check generation=1 \
             field=spec.http.headers[Authorization].valueFrom.secretKeyRef reason={reason}"
        )
    };
    agent.until_event(&rejected("SecretForbidden")).await;
    install_agent_role(cluster, &namespace, &readable("probe")).await;
    agent.until_event(&rejected("SecretNotFound")).await;
    assert!(check_in_use(&agent, &namespace).is_none());

    store_secret(cluster, &namespace, "token", "Bearer s3cret").await;
    let first = eventually("the Backend is probed", async || check_in_use(&agent, &namespace)).await;
    assert_eq!(received_authorization(&first, &listener).await, ["Bearer s3cret"]);

    store_secret(cluster, &namespace, "token", "Bearer r0tated\n").await;
    let rotated = async || check_in_use(&agent, &namespace).filter(|check| !check.same_probe(&first));
    let rotated = eventually("the rotated value is used", rotated).await;
    assert_eq!(received_authorization(&rotated, &listener).await, ["Bearer r0tated"]);
    let printed = format!("{:?}", agent.config_rx.borrow());
    for secret in ["s3cret", "r0tated", "0th3r"] {
        assert!(!agent.has_event(secret) && !printed.contains(secret), "{secret} is shown");
    }
}

/// Installs the CRD of HealthChecks, without the rule for values of headers for credentials if `is_old`.
async fn install_health_check_crd(cluster: &Cluster, is_old: bool) {
    let crd = committed_crds().into_iter().find(|crd| crd.spec.names.kind == "HealthCheck").unwrap();
    let mut crd = serde_json::to_value(crd).unwrap();
    let header = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/http/properties/headers/items";
    let rules = crd.pointer_mut(header).unwrap()["x-kubernetes-validations"].as_array_mut().unwrap();
    if is_old {
        let before = rules.len();
        rules.retain(|rule| !rule["rule"].as_str().unwrap().contains("authorization"));
        assert_eq!(rules.len(), before - 1);
    }
    let output =
        cluster.kubectl_with(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &crd.to_string()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn literal_check(object: &str, value: &str, interval: &str) -> String {
    format!(
        "{{apiVersion: maglev.vpp.io/v1alpha1, kind: HealthCheck, metadata: {{name: {object}}}, spec: {{type: HTTP, port: 80, \
         interval: {interval}, http: {{headers: [{{name: Authorization, value: {value}}}]}}}}}}"
    )
}

#[tokio::test]
async fn stored_value_of_a_header_for_credentials_can_be_kept_but_not_changed() {
    let cluster = own_control_plane("literal-secrets", false).await;
    let namespace = cluster.namespace("literal").await;
    install_health_check_crd(&cluster, true).await;
    eventually("the HealthCheck of an earlier version is stored", async || {
        cluster.apply(&namespace, &literal_check("old", "s3cret", "2s")).await.ok()
    })
    .await;
    install_health_check_crd(&cluster, false).await;
    let refusal = eventually("a new value is refused", async || {
        cluster.apply(&namespace, &literal_check("new", "s3cret", "2s")).await.err().map(|error| error.to_string())
    })
    .await;
    assert!(refusal.contains("spec.http.headers[0].value") && refusal.contains("valueFrom.secretKeyRef"), "{refusal}");
    cluster.apply(&namespace, &literal_check("old", "s3cret", "3s")).await.expect("other fields can change");
    let changed = cluster.apply(&namespace, &literal_check("old", "0th3r", "3s")).await;
    assert!(changed.is_err(), "another value is refused");

    // The agent uses the stored value, and reports it.
    let node = namespace_with_node(&cluster, "literal-node").await;
    let agent = Agent::start(cluster.client().await, &node);
    agent.until_event("field=spec.http.headers[Authorization].value reason=LiteralSecret").await;
    let checks = agent.config_rx.borrow().as_ref().unwrap().health_checks.clone();
    let Probe::Http { http, .. } = &checks[&Name::namespaced(&namespace, "old")].probe else { panic!("it is HTTP") };
    assert_eq!(http.headers[0].1.as_str(), "s3cret");
}
