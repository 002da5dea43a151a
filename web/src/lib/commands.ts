// The kubectl commands that show an object, where the server has none ready. Full names, so that no other group's
// kind of the same name is meant.
import type { Kind } from "../sync/contract";

const RESOURCES: Record<Kind, string> = {
  HealthCheck: "healthchecks.maglev.vpp.io",
  Backend: "backends.maglev.vpp.io",
  Frontend: "frontends.maglev.vpp.io",
  LoadBalancerConfig: "loadbalancerconfigs.maglev.vpp.io",
  MaglevNode: "maglevnodes.maglev.vpp.io",
  Node: "nodes",
};

/** The command that describes an object. */
export function describeCommands(kind: Kind, name: string): string[] {
  const slash = name.indexOf("/");
  const namespaceFlag = slash < 0 ? "" : `--namespace ${name.slice(0, slash)} `;
  return [`kubectl ${namespaceFlag}describe ${RESOURCES[kind]} ${name.slice(slash + 1)}`];
}

/** The command that ends a hold of removals: they go now. */
export function acceptRemovalsCommand(node: string, hold: string): string {
  return `maglevc sync vpp lb state accept-removals ${hold} --node ${node}`;
}

/** The commands about an agent's pod, `namespace/name`. */
export function podCommands(pod: string): string[] {
  const [namespace, name] = pod.split("/", 2);
  if (!namespace || !name) return [];
  return [
    `kubectl --namespace ${namespace} logs ${name}`,
    `kubectl --namespace ${namespace} describe pod ${name}`,
  ];
}
