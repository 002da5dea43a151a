//! Certificates that HealthChecks refer to, read with the rights that the chart gives the agent.

use maglev_model::Name;
use maglev_model::config::{Authorities, Check, ClientCertificate, Probe};

use super::harness::{Cluster, cluster, eventually};
use super::maglevd::install_agent_role;
use super::watches::{Agent, place};

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

/// A certificate and its key as PEM.
fn certified() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

async fn store_authority(cluster: &Cluster, place: &str, pem: &str) {
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: shop-ca}}\ndata:\n  ca.crt: |\n{}  other: not read\n",
        indented(pem)
    );
    cluster.apply(place, &map).await.unwrap();
}

/// What the Backend is probed with; `None` while it is not.
fn in_use(agent: &Agent, place: &str) -> Option<(Authorities, ClientCertificate)> {
    let config = agent.config_rx.borrow();
    let backend = config.as_ref()?.backends.get(&Name::namespaced(place, "web"))?.clone();
    let Check::Probe(check) = &backend.check else { return None };
    let Probe::Http { tls: Some(tls), .. } = &check.probe else { panic!("{:?}", check.probe) };
    Some((tls.authorities.clone().unwrap(), tls.client.clone().unwrap()))
}

#[tokio::test]
async fn certificates_are_read_by_name_and_again_and_what_is_missing_or_forbidden_is_told() {
    let cluster = cluster().await;
    let place = place(cluster, "certificates").await;
    let forbidden = "agent.rbac.configMapNames={shop-ca}";
    install_agent_role(cluster, &place, forbidden).await;
    cluster.apply(&place, OBJECTS).await.unwrap();
    let agent = Agent::start(cluster.client_as(&place, "maglevd").await, &place);
    let rejected = |field: &str, reason: &str| {
        format!(
            "config-rejected kind=HealthCheck name={place}/check generation=1 field=spec.tls.{field} reason={reason}"
        )
    };
    agent.until_told(&rejected("caCertificateRef", "CertificateNotFound")).await;
    agent.until_told(&rejected("clientCertificateRef", "CertificateForbidden")).await;
    let unreadable = "field=spec.healthCheckRef reason=HealthCheckUnreadable";
    agent.until_told(&format!("config-rejected kind=Backend name={place}/web generation=1 {unreadable}")).await;

    let ((root, _), (certificate, key)) = (certified(), certified());
    store_authority(cluster, &place, &root).await;
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: prober}}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
        indented(&certificate),
        indented(&key)
    );
    cluster.apply(&place, &secret).await.unwrap();
    assert_eq!(in_use(&agent, &place), None, "the Secret may not be read yet");
    install_agent_role(cluster, &place, &format!("{forbidden},agent.rbac.secretNames={{prober}}")).await;
    let first = eventually("it is probed", async || in_use(&agent, &place)).await;
    agent.until_told(&format!("config-applied kind=HealthCheck name={place}/check generation=1")).await;

    let (rotated, _) = certified();
    store_authority(cluster, &place, &rotated).await;
    let is_rotated = async || in_use(&agent, &place).filter(|now| now.0 != first.0);
    let now = eventually("the new authority is trusted", is_rotated).await;
    assert_eq!(now.1, first.1);

    store_authority(cluster, &place, "no certificate").await;
    agent.until_told(&rejected("caCertificateRef", "CertificateUnreadable")).await;
    assert_eq!(in_use(&agent, &place), None);
    assert!(!agent.told(key.lines().nth(1).unwrap()), "no key is ever told");
}
