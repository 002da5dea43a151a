//! Restarts of the agent and of VPP.

use std::{collections::BTreeMap, fs, net::IpAddr};

use maglev_model::actual::VppVip;
use nix::sys::signal::{Signal, kill};

use super::{Sandbox, vpp_state};
use crate::harness::eventually;

/// Backends in every state, a standby pool, and the Frontend `held`, to which the test adds an IPv6 Backend so that it
/// is held.
const EVERY_STATE: &str = "
apiVersion: maglev.vpp.io/v1alpha1
kind: Backend
metadata: {name: six}
spec: {address: '2001:db8::6'}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Backend
metadata: {name: unprobed}
spec: {address: 127.0.2.66}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Frontend
metadata: {name: held}
spec:
  address: 203.0.113.77
  pools: [{name: primary, backends: [{name: web-1}]}]
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Frontend
metadata: {name: states}
spec:
  address: 203.0.113.78
  protocol: TCP
  port: 443
  sessionAffinity: ClientIP
  pools:
  - {name: primary, backends: [{name: web-1}, {name: web-2}, {name: web-3}, {name: web-4}, {name: unprobed}]}
  - {name: standby, backends: [{name: spare-1}]}
";

#[tokio::test]
async fn restarted_agent_changes_nothing_and_restarted_node_is_restored() {
    let sandbox = Sandbox::up("restart", &["--nodes", "1"]).await;
    fs::write(sandbox.dir.join("states.yaml"), EVERY_STATE).unwrap();
    let manifest = sandbox.dir.join("states.yaml").display().to_string();
    sandbox.kubectl(&["apply", "-f", &manifest]).await;
    sandbox.backend("web-2", "fail").await;
    for (backend, state) in [("web-3", "Disabled"), ("web-4", "Paused")] {
        let patch = format!(r#"{{"spec": {{"adminState": "{state}"}}}}"#);
        sandbox.kubectl(&["patch", "mbe", backend, "--type=merge", "-p", &patch]).await;
    }
    let states = VppVip { address: [203, 0, 113, 78].into(), length: 32, protocol: 6, port: 443 };
    let expected =
        [("127.0.2.1", 10), ("127.0.2.2", 0), ("127.0.2.3", 0), ("127.0.2.4", 0), ("127.0.2.5", 0), ("127.0.2.66", 10)];
    let expected: BTreeMap<IpAddr, u8> = expected.map(|(address, weight)| (address.parse().unwrap(), weight)).into();
    eventually("every backend has its weight", async || {
        let vips = vpp_state(&sandbox, "node-a").await;
        let weights: BTreeMap<_, _> =
            vips.get(&states)?.ases.iter().map(|(address, server)| (*address, server.weight)).collect();
        (weights == expected).then_some(())
    })
    .await;
    let mix = r#"[{"op": "add", "path": "/spec/pools/0/backends/-", "value": {"name": "six"}}]"#;
    sandbox.kubectl(&["patch", "mfe", "held", "--type=json", "-p", mix]).await;
    sandbox.each_agent_logs_once(&["frontend-programmed", "default/held", "result=Held"]).await;
    let before = vpp_state(&sandbox, "node-a").await;
    assert_eq!(before.len(), 3, "web, held and states");

    restart_agent(&sandbox).await;
    sandbox.each_agent_logs_once(&["frontend-programmed", "default/held", "result=Held"]).await;
    sandbox.each_agent_logs_once(&["frontend-programmed", "default/states", "result=Programmed"]).await;
    let log = sandbox.kubectl(&["logs", &sandbox.agents().await[0]]).await;
    for change in ["vpp-lb-sync-vip-", "vpp-lb-sync-as-", "vpp-lb-conf-set"] {
        assert!(!log.contains(change), "{change} after a restart:\n{log}");
    }
    assert_eq!(vpp_state(&sandbox, "node-a").await, before);

    // Restarts VPP and the agent together. The held Frontend's VIP is lost, since only VPP had its configuration.
    kill(sandbox.process("maglev-sandbox vpp ").expect("VPP runs"), Signal::SIGKILL).unwrap();
    restart_agent(&sandbox).await;
    let served: BTreeMap<_, _> = before.into_iter().filter(|(vip, _)| vip.port != 0).collect();
    eventually("VPP has the served VIPs again", async || (vpp_state(&sandbox, "node-a").await == served).then_some(()))
        .await;
    sandbox.signal(Signal::SIGTERM);
}

/// Deletes the only agent's pod and waits until its replacement is ready.
async fn restart_agent(sandbox: &Sandbox) {
    let old = sandbox.agents().await;
    sandbox.kubectl(&["delete", &old[0], "--timeout=60s"]).await;
    eventually("a new agent pod exists", async || {
        let new = sandbox.agents().await;
        (new.len() == 1 && new != old).then_some(())
    })
    .await;
    let agent = sandbox.agents().await.remove(0);
    sandbox.kubectl(&["wait", "--for=condition=Ready", &agent, "--timeout=60s"]).await;
}
