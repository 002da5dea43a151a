//! The chart: rendering, values, RBAC, monitoring, the guide, and a release from installation to uninstallation.

mod access;
mod conflicts;
mod guide;
mod lifecycle;
mod matrix;
mod monitoring;
mod rbac;
mod release;
mod render;
mod required_values;
mod schema;

use maglev_sandbox::assets::Tool;

use super::harness::{Cluster, run};

/// Runs helm and returns its standard output; `Err` holds all output of a failed command.
pub async fn helm(cluster: &Cluster, args: &[&str]) -> Result<String, String> {
    let output = run(cluster.tool(Tool::Helm).args(args), "").await;
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    if output.status.success() { Ok(stdout) } else { Err(stdout + &stderr) }
}

pub async fn template(cluster: &Cluster, release: &str, more: &[&str]) -> Result<String, String> {
    let args = ["template", release, "charts/maglev", "--namespace", "maglev-system", "--set", NODES];
    helm(cluster, &[&args, more].concat()).await
}

/// The value that the chart requires.
pub const NODES: &str = "agent.nodeSelector.role=load-balancer";
