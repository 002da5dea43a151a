//! Restarts of all parts of a sandbox but the backends.

use maglev_model::event::Events;
use maglev_vpp::lb::Lb;
use maglev_vpp::session::SessionOptions;
use nix::sys::signal::{Signal, kill};

use crate::harness::eventually;
use crate::sandbox::{Sandbox, vpp_state};

/// Deletes the pods of all agents together.
pub async fn restart_agents(sandbox: &Sandbox) {
    let old = sandbox.agents().await;
    let names: Vec<_> = old.iter().map(String::as_str).collect();
    sandbox.kubectl(&[&["delete", "--timeout=60s"][..], &names].concat()).await;
    eventually("each node has a new agent", async || {
        let new = sandbox.agents().await;
        (new.len() == old.len() && !new.iter().any(|name| old.contains(name))).then_some(())
    })
    .await;
    for agent in sandbox.agents().await {
        sandbox.kubectl(&["wait", "--for=condition=Ready", &agent, "--timeout=60s"]).await;
    }
}

/// Deletes the pods of the controller together.
pub async fn restart_controller(sandbox: &Sandbox) {
    let selector = ["-l", "app.kubernetes.io/component=controller"];
    let names = async || sandbox.kubectl(&[&["get", "pods", "-o", "name"][..], &selector].concat()).await;
    let old = names().await;
    assert!(!old.is_empty());
    sandbox.kubectl(&[&["delete", "pods", "--timeout=60s"][..], &selector].concat()).await;
    eventually("the controller has new pods", async || {
        let new = names().await;
        (!new.is_empty() && !old.lines().any(|name| new.contains(name))).then_some(())
    })
    .await;
    sandbox.kubectl(&["rollout", "status", "deployment/maglev-controller", "--timeout=60s"]).await;
}

/// Kills the API server, which the sandbox starts again.
pub async fn restart_api_server(sandbox: &Sandbox) {
    let old = sandbox.process("/kube-apiserver ").expect("the API server runs");
    kill(old, Signal::SIGKILL).unwrap();
    eventually("a new API server runs", async || sandbox.process("/kube-apiserver ").filter(|new| *new != old)).await;
    eventually("the API server is ready", async || {
        let ready = sandbox.tool("kubectl", &["get", "--raw", "/readyz"]).await;
        ready.status.success().then_some(())
    })
    .await;
}

/// Kills the VPP of a node, which loses its VIPs and flows, and waits until it has both again.
pub async fn restart_vpp(sandbox: &Sandbox, node: &str) {
    let before = vpp_state(sandbox, node).await;
    let root = sandbox.dir.join("nodes").join(node);
    // Simulated or real.
    let programs = ["vpp --packets-socket", "vpp -c"].map(|program| format!("{program} {}", root.display()));
    let running = || programs.iter().find_map(|program| sandbox.process(program));
    let vpp = running().expect("VPP runs");
    kill(vpp, Signal::SIGKILL).unwrap();
    eventually(&format!("{node} has a new VPP"), async || running().filter(|new| *new != vpp)).await;
    let socket = root.join("run/vpp/api.sock");
    eventually(&format!("the VPP of {node} has its VIPs and flows"), async || {
        let lb = Lb::connect(&socket, SessionOptions::new("test", Events::discard())).await.ok()?;
        let flows: u64 = lb.sticky_tables().await.ok()?.iter().map(|table| table.entries).sum();
        (flows > 5).then_some(())
    })
    .await;
    assert_eq!(vpp_state(sandbox, node).await, before);
}
