//! `maglevc diff` and `maglevc whatif` with a real API server, agents and simulated VPPs. Nothing may be written.

use std::process::Output;

use serde_json::Value;

use super::super::{
    harness::{eventually, root, run},
    sandbox::Sandbox,
};
use super::{kubectl_maglev, maglevc, maglevc_output};
use maglev_testkit::binary;

/// A Backend that a server-side apply makes.
const NEW: &str = "
apiVersion: maglev.vpp.io/v1alpha1
kind: Backend
metadata: {name: new-1, namespace: default}
spec: {address: 127.0.2.40}
";

async fn diff(sandbox: &Sandbox, manifests: &str, args: &[&str]) -> Output {
    let args = [&["diff", "-f", "-"], args].concat();
    maglevc(sandbox, &binary("maglevc"), &args, manifests).await
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Standard output of a `diff` that ends with this status, with single spaces.
async fn diff_text(sandbox: &Sandbox, manifests: &str, status: i32) -> String {
    let output = diff(sandbox, manifests, &[]).await;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "{}{errors}", stdout(&output));
    stdout(&output) + &errors
}

fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} in {text}");
    }
}

async fn kubectl(sandbox: &Sandbox, args: &[&str], stdin: &str) -> String {
    let output = run(&mut sandbox.command("kubectl", args), stdin).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The versions of all Maglev objects' specs.
async fn generations(sandbox: &Sandbox) -> String {
    let columns = "custom-columns=K:.kind,N:.metadata.name,G:.metadata.generation,U:.metadata.uid";
    let kinds = "frontends.maglev.vpp.io,backends.maglev.vpp.io,healthchecks.maglev.vpp.io";
    kubectl(sandbox, &["get", kinds, "-A", "-o", columns], "").await
}

/// All backends are up, as before.
pub async fn effects_are_shown_and_nothing_is_written(sandbox: &Sandbox) {
    let demo = std::fs::read_to_string(root().join("examples/demo.yaml")).unwrap();
    // Other tests have set weights.
    kubectl(sandbox, &["apply", "-f", "-"], &demo).await;
    let before = generations(sandbox).await;

    assert_has(&diff_text(sandbox, &demo, 0).await, &["No object changes.", "No VIP changes."]);
    let lighter = demo.replacen("        - name: web-2\n", "        - name: web-2\n          weight: 0\n", 1);
    assert_ne!(lighter, demo);
    let text = diff_text(sandbox, &lighter, 1).await;
    assert_has(
        &text,
        &[
            "Frontend default/web configured",
            "default/web 203.0.113.10 tcp 80 2/2 updated moved",
            "(from web-2 ",
            "kept",
        ],
    );
    let longer = demo.replacen("  pools:", "  tableLength: 512\n  pools:", 1);
    assert_has(&diff_text(sandbox, &longer, 1).await, &["recreated (table-length)", "all lost (at most "]);
    let json = diff(sandbox, &(lighter.clone() + "---\n{kind: Service, metadata: {name: x}}\n"), &["-o", "json"]).await;
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["skipped"], serde_json::json!(["Service x"]), "{json}");
    assert!(json["vips"][0]["movedPercent"].as_f64().unwrap() > 10.0, "{json}");

    let invalid = demo.replacen("port: 80\n", "port: 70000\n", 1);
    assert_has(&diff_text(sandbox, &invalid, 2).await, &["Frontend default/web: ", "spec.port", "70000"]);
    let unknown = demo.replacen("  pools:", "  pols: []\n  pools:", 1);
    assert_has(&diff_text(sandbox, &unknown, 2).await, &["Frontend default/web: ", "spec.pols"]);
    assert_has(&diff_text(sandbox, "[", 2).await, &["standard input: not valid YAML"]);
    assert_has(&diff_text(sandbox, NEW, 1).await, &["Backend default/new-1 created", "No VIP changes."]);
    assert_eq!(generations(sandbox).await, before, "nothing was written");

    works_as_kubectl_plugin(sandbox, &lighter).await;
    conflicts_are_named(sandbox).await;
    what_if_answers_for_backends_and_nodes(sandbox).await;
}

async fn works_as_kubectl_plugin(sandbox: &Sandbox, manifests: &str) {
    let output = run(&mut kubectl_maglev(sandbox, &["diff", "-f", "-"]), manifests).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{}{errors}", stdout(&output));
    assert_has(&stdout(&output), &["Frontend default/web configured", "(from web-2 "]);
}

async fn conflicts_are_named(sandbox: &Sandbox) {
    kubectl(sandbox, &["apply", "--server-side", "-f", "-"], NEW).await;
    eventually("the agents have the Backend", async || {
        let backends = maglevc_output(sandbox, &["show", "backends"]).await;
        backends.contains("default/new-1").then_some(())
    })
    .await;
    maglevc_output(sandbox, &["set", "backend", "new-1", "pause"]).await;
    let enabled = NEW.replace("address: 127.0.2.40", "address: 127.0.2.40, adminState: Enabled");
    let text = diff_text(sandbox, &enabled, 2).await;
    assert_has(
        &text,
        &["Backend default/new-1: .spec.adminState: conflict with \"maglev-operator-action\"", "--force"],
    );
    let forced = diff(sandbox, &enabled, &["--force"]).await;
    assert_eq!(forced.status.code(), Some(1), "{}", String::from_utf8_lossy(&forced.stderr));
    kubectl(sandbox, &["delete", "mbe", "new-1"], "").await;
}

async fn what_if_answers_for_backends_and_nodes(sandbox: &Sandbox) {
    let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    // web-1 was down before. Tracked flows are those of the last dump of VPP, which may have preceded its first flow.
    eventually("the agents have read tracked flows of web-1", async || {
        maglevc_output(sandbox, &["sync", "vpp", "lb", "state"]).await;
        let counters = maglevc_output(sandbox, &["show", "vpp", "lb", "counters", "--output", "json"]).await;
        let counters: Value = serde_json::from_str(&counters).unwrap();
        let servers = counters["applicationServers"].as_array()?;
        let web_1 = servers.iter().find(|server| server["address"] == "127.0.2.1")?;
        (web_1["flowsAtMost"].as_u64()? > 0).then_some(())
    })
    .await;
    let down = words(maglevc_output(sandbox, &["whatif", "backend", "web-1", "down"]).await);
    assert_has(
        &down,
        &[
            "If Backend default/web-1 is down:",
            "2/2 updated moved",
            "(from web-1 ",
            "web-1 lost (at most ",
            "others kept",
        ],
    );
    let weight = words(maglevc_output(sandbox, &["whatif", "backend", "web-1", "weight", "50", "in", "web"]).await);
    assert_has(&weight, &["2/2 updated moved", "kept"]);
    let lost = words(maglevc_output(sandbox, &["whatif", "node", "node-a", "lost"]).await);
    assert_has(&lost, &["If node node-a is lost:", "default/web 203.0.113.10 tcp 80 1/1 100 %"]);
    let missing = maglevc(sandbox, &binary("maglevc"), &["whatif", "backend", "web-9", "down"], "").await;
    assert_eq!(missing.status.code(), Some(1));
}
