//! `maglevc show policies`, `show policy` and `explain policy` with an AddressPolicy that the controller has judged.

use serde_json::{Value, json};

use super::super::{
    harness::{eventually, run},
    sandbox::Sandbox,
};
use super::{maglevc, maglevc_output};
use maglev_testkit::binary;

/// Audits the demo, whose Backend spare-2 has the address that is left out.
const DEMO: &str = "
apiVersion: maglev.vpp.io/v1alpha1
kind: AddressPolicy
metadata: {name: demo}
spec:
  mode: Audit
  onRevoke: Withdraw
  namespaces: {names: [default, other]}
  frontends: {addresses: [203.0.113.0/24], ports: [{protocol: TCP, from: 80, to: 443}], encaps: [GRE]}
  backends: {addresses: [127.0.2.0/24], except: [127.0.2.6/32]}
  probes: {types: [HTTP, TCP], ports: [{from: 8080}], minInterval: 100ms, expectedBody: Text}
  limits: {frontends: 5, probesPerSecond: 500}
";

/// The lines of a page, with single spaces.
async fn lines(sandbox: &Sandbox, args: &[&str]) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    maglevc_output(sandbox, args).await.lines().map(words).filter(|line| !line.is_empty()).collect()
}

/// Applies a policy, and deletes it at the end.
pub async fn are_shown_as_applied(sandbox: &Sandbox) {
    let absent = maglevc(sandbox, &binary("maglevc"), &["show", "policy", "demo"], "").await;
    let error = String::from_utf8(absent.stderr).unwrap();
    assert!(error.contains("AddressPolicy demo not found: there are none"), "{error}");
    assert_eq!(
        lines(sandbox, &["show", "policies"]).await,
        ["no AddressPolicies: every namespace may use every address"]
    );
    let applied = run(&mut sandbox.command("kubectl", &["apply", "-f", "-"]), DEMO).await;
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    let judged = "demo default, other Audit 1 1 5 1";
    let listed = eventually("the controller has judged the policy", async || {
        let listed = lines(sandbox, &["show", "policies"]).await;
        listed.iter().any(|line| line == judged).then_some(listed)
    })
    .await;
    assert_eq!(listed, ["NAME SELECTS MODE NAMESPACES FRONTENDS BACKENDS VIOLATIONS", judged]);
    let wide = lines(sandbox, &["show", "policies", "--output", "wide"]).await;
    assert_eq!(wide[1], format!("{judged} Withdraw"));

    one_policy_is_shown_in_full(sandbox).await;
    let unknown = maglevc(sandbox, &binary("maglevc"), &["show", "policy", "demos"], "").await;
    let error = String::from_utf8(unknown.stderr).unwrap();
    assert_eq!(unknown.status.code(), Some(1), "{error}");
    assert!(error.contains("AddressPolicy demos not found: existing are demo"), "{error}");

    let explained = lines(sandbox, &["explain", "policy", "default"]).await;
    assert!(explained.iter().any(|line| line.contains("203.0.113.0/24") && line.ends_with("demo")), "{explained:#?}");
    sandbox.kubectl(&["delete", "mpol/demo"]).await;
}

async fn one_policy_is_shown_in_full(sandbox: &Sandbox) {
    assert_eq!(
        lines(sandbox, &["show", "policy", "demo"]).await,
        [
            "AddressPolicy: demo",
            "Selects: default, other",
            "Mode: Audit",
            "On revoke: Withdraw",
            "Limits: frontends 5, probesPerSecond 500",
            "Violations: 1",
            "Frontends may use",
            "ADDRESSES PORTS ENCAPS ASSIGN POLICY",
            "203.0.113.0/24 TCP 80-443 GRE OnRequest demo",
            "Backends may have",
            "ADDRESSES EXCEPT PROBES POLICY",
            "127.0.2.0/24 127.0.2.6/32 HTTP, TCP; port 8080; every 100ms or less often; no expectedBody demo",
        ]
    );
    let policy = maglevc_output(sandbox, &["show", "policy", "demo", "--output", "json"]).await;
    let policy: Value = serde_json::from_str(&policy).unwrap();
    let expected = [
        ("name", json!("demo")),
        ("mode", json!("Audit")),
        ("onRevoke", json!("Withdraw")),
        ("frontends", json!(1)),
        ("backends", json!(5)),
        ("violations", json!(1)),
        ("limits", json!([{ "field": "frontends", "limit": 5 }, { "field": "probesPerSecond", "limit": 500 }])),
    ];
    for (field, value) in expected {
        assert_eq!(policy[field], value, "{field} of {policy:#}");
    }
    assert_eq!(policy["allowedBackends"][0]["except"], json!("127.0.2.6/32"));
}
