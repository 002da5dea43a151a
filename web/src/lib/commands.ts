// kubectl commands for objects, where the server supplies none. Resources have their full names, which other API
// groups cannot share.
import type { Kind, ObjectKind } from "../sync/contract";

const RESOURCES: Record<Kind | ObjectKind, string> = {
  HealthCheck: "healthchecks.maglev.vpp.io",
  Backend: "backends.maglev.vpp.io",
  Frontend: "frontends.maglev.vpp.io",
  LoadBalancerConfig: "loadbalancerconfigs.maglev.vpp.io",
  AddressPolicy: "addresspolicies.maglev.vpp.io",
  MaglevNode: "maglevnodes.maglev.vpp.io",
  Node: "nodes",
  Namespace: "namespaces",
  EndpointSlice: "endpointslices.discovery.k8s.io",
};

/** Commands that describe an object. */
export function describeCommands(kind: Kind | ObjectKind, name: string): string[] {
  const slash = name.indexOf("/");
  const namespaceFlag = slash < 0 ? "" : `--namespace ${name.slice(0, slash)} `;
  return [`kubectl ${namespaceFlag}describe ${RESOURCES[kind]} ${name.slice(slash + 1)}`];
}

/** The command that ends a hold and lets its changes proceed. */
export function acceptRemovalsCommand(hold: string): string {
  return `maglevc accept ${hold}`;
}

/** Commands for an agent's pod, `namespace/name`. */
export function podCommands(pod: string): string[] {
  const [namespace, name] = pod.split("/", 2);
  if (!namespace || !name) return [];
  return [
    `kubectl --namespace ${namespace} logs ${name}`,
    `kubectl --namespace ${namespace} describe pod ${name}`,
  ];
}
