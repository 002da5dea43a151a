//! Certificates that HealthChecks refer to, read with the rights that the chart grants to the agent.

use maglev_model::Name;
use maglev_model::config::{Authorities, Check, ClientCertificate, Probe};

use super::harness::{Cluster, cluster, eventually};
use super::maglevd::install_agent_role;
use super::watches::{Agent, namespace_with_node};

const OBJECTS: &str = "
apiVersion: maglev.vpp.io/v1alpha1
kind: HealthCheck
metadata: {name: check}
spec:
  type: HTTPS
  port: 443
  tls: {serverName: a.example, caCertificateRef: {name: shop-ca}, clientCertificateRef: {name: prober}}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Backend
metadata: {name: web}
spec: {address: 192.0.2.1, healthCheckRef: {name: check}}
";

/// A self-signed certificate and its key as PEM.
fn self_signed() -> (String, String) {
    let certified = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    (certified.cert.pem(), certified.signing_key.serialize_pem())
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

async fn store_authority(cluster: &Cluster, namespace: &str, pem: &str) {
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: shop-ca}}\ndata:\n  ca.crt: |\n{}  other: not read\n",
        indented(pem)
    );
    cluster.apply(namespace, &map).await.unwrap();
}

/// The certificates that the Backend is probed with; `None` while it is not probed.
fn certificates_in_use(agent: &Agent, namespace: &str) -> Option<(Authorities, ClientCertificate)> {
    let config = agent.config_rx.borrow();
    let backend = config.as_ref()?.backends.get(&Name::namespaced(namespace, "web"))?.clone();
    let Check::Probe(check) = &backend.check else { return None };
    let Probe::Http { tls: Some(tls), .. } = &check.probe else { panic!("{:?}", check.probe) };
    Some((tls.authorities.clone().unwrap(), tls.client.clone().unwrap()))
}

#[tokio::test]
async fn certificates_are_read_and_reread_and_missing_or_forbidden_ones_reported() {
    let cluster = cluster().await;
    let namespace = namespace_with_node(cluster, "certificates").await;
    let certificates =
        format!("agent.rbac.certificates[0].namespace={namespace},agent.rbac.certificates[0].configMaps={{shop-ca}}");
    install_agent_role(cluster, &namespace, &certificates).await;
    cluster.apply(&namespace, OBJECTS).await.unwrap();
    let agent = Agent::start(cluster.client_as(&namespace, "maglevd").await, &namespace);
    let rejected = |field: &str, reason: &str| {
        format!(
            "config-rejected kind=HealthCheck name={namespace}/check generation=1 field=spec.tls.{field} reason={reason}"
        )
    };
    agent.until_event(&rejected("caCertificateRef", "CertificateNotFound")).await;
    agent.until_event(&rejected("clientCertificateRef", "CertificateForbidden")).await;
    let unreadable = "field=spec.healthCheckRef reason=HealthCheckUnreadable";
    agent.until_event(&format!("config-rejected kind=Backend name={namespace}/web generation=1 {unreadable}")).await;

    let ((root, _), (certificate, key)) = (self_signed(), self_signed());
    store_authority(cluster, &namespace, &root).await;
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: prober}}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
        indented(&certificate),
        indented(&key)
    );
    cluster.apply(&namespace, &secret).await.unwrap();
    assert_eq!(certificates_in_use(&agent, &namespace), None, "the agent is not allowed to read the Secret");
    install_agent_role(cluster, &namespace, &format!("{certificates},agent.rbac.certificates[0].secrets={{prober}}"))
        .await;
    let first = eventually("the Backend is probed", async || certificates_in_use(&agent, &namespace)).await;
    agent.until_event(&format!("config-applied kind=HealthCheck name={namespace}/check generation=1")).await;

    let (rotated, _) = self_signed();
    store_authority(cluster, &namespace, &rotated).await;
    let after_rotation = async || certificates_in_use(&agent, &namespace).filter(|current| current.0 != first.0);
    let current = eventually("the new authority is trusted", after_rotation).await;
    assert_eq!(current.1, first.1);

    store_authority(cluster, &namespace, "no certificate").await;
    agent.until_event(&rejected("caCertificateRef", "CertificateUnreadable")).await;
    assert_eq!(certificates_in_use(&agent, &namespace), None);
    assert!(!agent.has_event(key.lines().nth(1).unwrap()), "an event contains the key");
}
