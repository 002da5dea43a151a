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

/// The parts of the cluster with their addresses and paths, and examples.
pub fn summary(
    directory: &Directory,
    nodes: &[NodeSpec],
    backends: &DemoBackends,
    plane: &ControlPlane,
    dashboard: &str,
    has_packets: bool,
) -> String {
    let dir = directory.path().display();
    let bin = directory.bin();
    let nodes: Vec<_> = nodes.iter().map(|node| format!("{} ({})", node.name, node.address)).collect();
    let backends: Vec<_> =
        backends.list().into_iter().map(|(name, address, _)| format!("{name} ({address})")).collect();
    let packets = if has_packets { packets_tour(&dir.to_string()) } else { String::new() };
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
{packets}",
        server = plane.server(),
        nodes = nodes.join(", "),
        backends = backends.join(", "),
        kubeconfig = plane.kubeconfig().display(),
        bin = bin.display(),
    )
}

/// The examples with packets.
fn packets_tour(dir: &str) -> String {
    format!(
        "  4. Send a request through VPP to a backend, and watch one connection while its backend is drained:
       client curl http://203.0.113.10/
       client curl -N http://203.0.113.10/stream
       maglevc set backend web-2 pause    # or the backend that the stream names; `enable` ends the drain
  5. Send load, let a backend fail meanwhile, and see the flows that break:
       maglev-sandbox load --dir {dir} --vip 203.0.113.10:80 --for 30s
       maglev-sandbox backend web-1 fail --dir {dir}
"
    )
}
