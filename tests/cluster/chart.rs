//! The chart: what helm makes of it, who may do what, and a release from its installation to its end.

mod guide;
mod life;
mod monitoring;
mod rejects;
mod release;
mod render;
mod rights;

use maglev_sandbox::assets::Tool;

use super::harness::{Cluster, run};

/// What helm printed; `Err` where it failed.
async fn helm(cluster: &Cluster, args: &[&str]) -> Result<String, String> {
    let output = run(cluster.tool(Tool::Helm).args(args), "").await;
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    if output.status.success() { Ok(stdout) } else { Err(stdout + &stderr) }
}

pub async fn template(cluster: &Cluster, release: &str, more: &[&str]) -> Result<String, String> {
    let args = ["template", release, "charts/maglev", "--namespace", "maglev-system"];
    helm(cluster, &[&args, more].concat()).await
}
