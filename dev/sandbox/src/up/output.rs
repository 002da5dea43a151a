//! Output of `up`: progress, and a summary with examples once the cluster is running.

use std::io::Write as _;

use super::directory::Directory;
use super::nodes::NodeSpec;
use super::release::DemoService;
use crate::control_plane::ControlPlane;
use crate::demo_backend::DemoBackends;

/// Prints a text and a line break. Ignores a closed standard output.
pub fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{text}");
    let _ = stdout.flush();
}

/// The examples to print.
pub struct Tour {
    pub has_packets: bool,
    pub service: DemoService,
}

/// The parts of the cluster with their addresses and paths, and examples.
pub fn summary(
    directory: &Directory,
    nodes: &[NodeSpec],
    backends: &DemoBackends,
    plane: &ControlPlane,
    dashboard: &str,
    tour: &Tour,
) -> String {
    let dir = directory.path().display();
    let bin = directory.bin();
    let nodes: Vec<_> = nodes.iter().map(|node| format!("{} ({})", node.name, node.address)).collect();
    let backends: Vec<_> =
        backends.list().into_iter().map(|(name, address, _)| format!("{name} ({address})")).collect();
    let more = tour.examples(&dir.to_string());
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
{more}",
        server = plane.server(),
        nodes = nodes.join(", "),
        backends = backends.join(", "),
        kubeconfig = plane.kubeconfig().display(),
        bin = bin.display(),
    )
}

impl Tour {
    /// The examples after the first three.
    fn examples(&self, dir: &str) -> String {
        let service = match self.service {
            DemoService::None => None,
            DemoService::Pods => Some(SERVICE.to_owned()),
            DemoService::Endpoints => Some(ENDPOINTS.to_owned()),
        };
        let packets = if self.has_packets { packets(dir).to_vec() } else { Vec::new() };
        let examples = packets.into_iter().chain(service).zip(4..);
        examples.map(|(text, number)| format!("  {number}. {text}")).collect()
    }
}

/// The examples with packets.
fn packets(dir: &str) -> [String; 2] {
    [
        "Send a request through VPP to a backend, and watch one connection while its backend is drained:
       client curl http://203.0.113.10/
       client curl -N http://203.0.113.10/stream
       maglevc set backend web-2 pause    # or the backend that the stream names; `enable` ends the drain
"
        .to_owned(),
        format!(
            "Send load, let a backend fail meanwhile, and see the flows that break:
       maglev-sandbox load --dir {dir} --vip 203.0.113.10:80 --for 30s
       maglev-sandbox backend web-1 fail --dir {dir}
"
        ),
    ]
}

/// The example with pods.
const SERVICE: &str = "\
A Service of type LoadBalancer: its address, its Frontend and the weights of the nodes (10 for each ready pod):
       kubectl get service,endpointslices,pods -l app=shop -o wide
       maglevc show frontend shop-80-tcp
       client curl http://203.0.113.90/
     In yet another terminal, watch the changes in VPP while pods come and go:
       kubectl logs -f ds/maglevd | grep shop-80-tcp
       kubectl scale deployment shop --replicas 5
       kubectl rollout restart deployment shop
       kubectl scale deployment maglev-controller --replicas 0    # the agents need no controller for this
       kubectl scale deployment shop --replicas 1
     A pod that ends keeps its flows: open one, delete the pod that it names, and see the weight of its node:
       client curl -N http://203.0.113.90/stream
";

/// The example without pods.
const ENDPOINTS: &str = r#"A Service of type LoadBalancer: its address, its Frontend and the weights of its endpoints. They are written by hand:
     pods have loopback addresses here, which the API server refuses in EndpointSlices. With packets, the demo has pods.
       kubectl get service,endpointslices -l app=shop
       maglevc show frontend shop-80-tcp
     Let an endpoint end, and see its weight become 0 in the log of an agent:
       kubectl logs -f ds/maglevd | grep shop-80-tcp
       kubectl patch endpointslice shop-1 --type=json -p \
         '[{"op": "replace", "path": "/endpoints/0/conditions", "value": {"ready": false, "serving": true, "terminating": true}}]'
"#;
