// The fixture of all tests of a cluster: common objects, and the restoration of the cluster after every test.
import { afterAll, afterEach, beforeAll } from "vitest";
import { cluster, type KubernetesObject, type Pod } from "./cluster.js";
import { restore, takeSnapshot, type Snapshot } from "./snapshot.js";

/** A Frontend on Backends, by pool. */
export function frontend(name: string, address: string, pools: Record<string, readonly string[]>) {
  return {
    apiVersion: "maglev.vpp.io/v1alpha1",
    kind: "Frontend",
    metadata: { name, namespace: "default" },
    spec: {
      address,
      protocol: "TCP",
      port: 80,
      pools: Object.entries(pools).map(([name, backends]) => ({
        name,
        backends: backends.map((name) => ({ name })),
      })),
    },
  };
}

/** A Backend; without a check it is not probed. */
export function backend(name: string, address: string, check?: string) {
  return {
    apiVersion: "maglev.vpp.io/v1alpha1",
    kind: "Backend",
    metadata: { name, namespace: "default" },
    spec: { address, ...(check === undefined ? {} : { healthCheckRef: { name: check } }) },
  };
}

/** Two Frontends beside the demo's, for every test: one that can go down alone, one with a standby pool of its own. */
export const FRONTENDS = [
  frontend("www", "203.0.113.11", { primary: ["web-3", "web-4"] }),
  frontend("api", "203.0.113.12", { primary: ["spare-1", "spare-2"], standby: ["web-1", "web-2"] }),
];

/** Brings the cluster into the state that every test file starts from, and returns a replica of the dashboard. */
export async function prepareCluster(): Promise<Pod> {
  cluster.continueProcesses();
  await cluster.backends(await cluster.failingBackends(), "ok");
  await cluster.apply(...FRONTENDS);
  return cluster.healthy();
}

/**
 * Registers the hooks of a test file: the cluster is prepared and `objects` are applied before its tests, restored
 * after every test, passed or failed, and `objects` are deleted at the end. Returns the present replica of the dashboard.
 */
export function useCluster(...objects: readonly KubernetesObject[]): () => Pod {
  let replica: Pod | undefined;
  let beforeFile: Snapshot | undefined;
  let beforeTest: Snapshot | undefined;
  beforeAll(async () => {
    replica = await prepareCluster();
    beforeFile = await takeSnapshot();
    if (objects.length > 0) {
      await cluster.apply(...objects);
      replica = await cluster.healthy();
    }
    beforeTest = await takeSnapshot();
  });
  afterEach(async () => {
    if (beforeTest) replica = await restore(beforeTest);
  });
  afterAll(async () => {
    if (beforeFile && objects.length > 0) await restore(beforeFile);
  });
  return () => {
    if (!replica) throw new Error("the cluster is not prepared yet");
    return replica;
  };
}
