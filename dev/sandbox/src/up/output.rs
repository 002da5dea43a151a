//! Output of `up`: progress, and a summary with examples once the cluster is running.

use std::io::Write as _;

use super::directory::Directory;
use super::nodes::NodeSpec;
use crate::control_plane::ControlPlane;
use crate::demo_backend::DemoBackends;

/// Prints a text and a line break. Ignores a closed standard output.
pub fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{text}");
    let _ = stdout.flush();
}

/// The parts of the cluster with their addresses and paths, and three examples.
pub fn summary(
    directory: &Directory,
    nodes: &[NodeSpec],
    backends: &DemoBackends,
    plane: &ControlPlane,
    dashboard: &str,
) -> String {
    let dir = directory.path().display();
    let bin = directory.bin();
    let nodes: Vec<_> = nodes.iter().map(|node| format!("{} ({})", node.name, node.address)).collect();
    let backends: Vec<_> =
        backends.list().into_iter().map(|(name, address, _)| format!("{name} ({address})")).collect();
    format!(
        "
The cluster is running. Press Ctrl-C to stop it.

  dashboard    {dashboard}
  API server   {server}
  nodes        {nodes}
  VPP sockets  {dir}/nodes/NODE/run/vpp/
  backends     {backends}
  logs         {dir}/logs/
  kubeconfig   {kubeconfig}

In another terminal:

  export KUBECONFIG={kubeconfig} PATH={bin}:$PATH

  1. Show the objects and the overall state, and follow the log of the agents:
       kubectl get maglev -A
       maglevc status
       kubectl logs -f ds/maglevd
  2. Let a backend fail, and see its weight become 0 (`ok` lets it recover):
       maglev-sandbox backend web-1 fail --dir {dir}
  3. Increase the weight of a backend:
       maglevc set frontend web pool primary backend web-2 weight 50
",
        server = plane.server(),
        nodes = nodes.join(", "),
        backends = backends.join(", "),
        kubeconfig = plane.kubeconfig().display(),
        bin = bin.display(),
    )
}
