//! What `up` prints: progress, and at the end what is running and what to try.

use std::io::Write as _;

use super::directory::Directory;
use super::nodes::NodeSpec;
use crate::control_plane::ControlPlane;
use crate::demo_backend::DemoBackends;

/// Prints one line, or several. A closed stdout is no reason to stop.
pub fn line(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{text}");
    let _ = stdout.flush();
}

/// What is running, where the kubeconfig is, and three things to try.
pub fn running(
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
A cluster is running; Ctrl-C ends it.

  dashboard    {dashboard}
  API server   {server}
  nodes        {nodes}
  VPP sockets  {dir}/nodes/NODE/run/vpp/
  backends     {backends}
  logs         {dir}/logs/
  kubeconfig   {kubeconfig}

Try, in another terminal:

  export KUBECONFIG={kubeconfig} PATH={bin}:$PATH

  1. See what is there and whether anything is wrong, and follow an agent:
       kubectl get maglev -A
       maglevc status
       kubectl logs -f ds/maglevd
  2. Fail a backend and see its weight go to 0; `ok` brings it back:
       maglev-sandbox backend web-1 fail --dir {dir}
  3. Give a backend more weight:
       maglevc set frontend web pool primary backend web-2 weight 50
",
        server = plane.server(),
        nodes = nodes.join(", "),
        backends = backends.join(", "),
        kubeconfig = plane.kubeconfig().display(),
        bin = bin.display(),
    )
}
