// The state of the cluster that tests change, and its restoration after each of them.
import { isDeepStrictEqual } from "node:util";
import { cluster, type KubernetesObject, type Pod } from "./cluster.js";

interface StoredObject extends KubernetesObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly spec: unknown;
}

/** The state before a test. */
export interface Snapshot {
  readonly objects: ReadonlyMap<string, StoredObject>;
  readonly nodeLabels: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly replicas: number;
  readonly agentPods: AgentPods;
  /** Number of objects of built-in kinds that tests had applied. */
  readonly applied: number;
}

// The fields of the agents' DaemonSet that tests change.
interface AgentPods {
  readonly updateStrategy: Readonly<Record<string, unknown>>;
  readonly nodeSelector: Readonly<Record<string, string>>;
}

const KINDS = ["frontends", "backends", "healthchecks", "loadbalancerconfigs"]
  .map((kind) => `${kind}.maglev.vpp.io`)
  .join();

async function get<T>(...args: readonly string[]): Promise<T> {
  return JSON.parse(await cluster.kubectl("get", ...args, "-o", "json")) as T;
}

/** Takes a snapshot. */
export async function takeSnapshot(): Promise<Snapshot> {
  const [{ items }, { items: nodes }, deployment, daemonSet] = await Promise.all([
    get<{ items: StoredObject[] }>(KINDS, "-A"),
    get<{ items: StoredObject[] }>("nodes"),
    get<{ spec: { replicas: number } }>("deployment", "maglev-frontend"),
    get<{
      spec: { updateStrategy: AgentPods["updateStrategy"]; template: { spec: Partial<AgentPods> } };
    }>("daemonset", "maglevd"),
  ]);
  return {
    objects: new Map(items.map((object) => [keyFor(object), object])),
    nodeLabels: new Map(nodes.map(({ metadata }) => [metadata.name, metadata.labels ?? {}])),
    replicas: deployment.spec.replicas,
    agentPods: {
      updateStrategy: daemonSet.spec.updateStrategy,
      nodeSelector: daemonSet.spec.template.spec.nodeSelector ?? {},
    },
    applied: cluster.applied.length,
  };
}

/**
 * Undoes every change since the snapshot and waits until the cluster is healthy. Tries all steps even when some fail, and
 * throws one error that names every change that could not be undone. Returns a replica of the dashboard.
 */
export async function restore(before: Snapshot): Promise<Pod> {
  const failures: string[] = [];
  const step = async <T>(change: string, undo: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await undo();
    } catch (error) {
      failures.push(`${change}: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  };
  await step("stopped processes", () => cluster.continueProcesses());
  await step("values of the release", () => cluster.restoreValues());
  const failing = await step("list of failing backends", () => cluster.failingBackends());
  for (const name of failing ?? [])
    await step(`failing backend ${name}`, () => cluster.backends([name], "ok"));
  await step("objects that the test applied", async () => {
    await cluster.delete(...cluster.applied.slice(before.applied));
    cluster.applied.length = before.applied;
  });
  const now = await step("list of objects", takeSnapshot);
  if (now) {
    for (const [change, undo] of differences(before, now)) await step(change, undo);
  }
  const replica = await step("health", () => cluster.healthy());
  if (failures.length > 0 || !replica)
    throw new Error(`the test left the cluster changed; not restored:\n${failures.join("\n")}`);
  return replica;
}

type Undo = readonly [change: string, undo: () => Promise<unknown>];

function differences(before: Snapshot, now: Snapshot): Undo[] {
  const undo: Undo[] = [];
  for (const [key, object] of now.objects) {
    if (!before.objects.has(key)) undo.push([`${key} was added`, () => cluster.delete(object)]);
  }
  for (const [key, object] of before.objects) {
    const current = now.objects.get(key);
    if (!current) undo.push([`${key} was deleted`, () => cluster.put(toManifest(object))]);
    else if (!isDeepStrictEqual(current.spec, object.spec))
      undo.push([`spec of ${key} was changed`, () => replaceSpec(object)]);
  }
  for (const [node, labels] of before.nodeLabels) {
    const added = Object.keys(now.nodeLabels.get(node) ?? {}).filter((label) => !(label in labels));
    if (added.length > 0)
      undo.push([
        `Node ${node} was labelled ${added.join()}`,
        () => cluster.kubectl("label", "node", node, ...added.map((label) => `${label}-`)),
      ]);
  }
  if (!isDeepStrictEqual(before.agentPods, now.agentPods))
    undo.push(["DaemonSet maglevd was changed", () => patchAgentPods(before.agentPods, now.agentPods)]);
  if (before.replicas !== now.replicas)
    undo.push([
      `Deployment maglev-frontend was scaled to ${now.replicas}`,
      () => cluster.kubectl("scale", "deployment/maglev-frontend", `--replicas=${before.replicas}`),
    ]);
  return undo;
}

function keyFor({ kind, metadata: { name, namespace } }: StoredObject): string {
  return `${kind} ${namespace === undefined ? name : `${namespace}/${name}`}`;
}

function toManifest({ apiVersion, kind, metadata: { name, namespace }, spec }: StoredObject): object {
  return { apiVersion, kind, metadata: { name, ...(namespace === undefined ? {} : { namespace }) }, spec };
}

function replaceSpec({ kind, metadata: { name, namespace }, spec }: StoredObject): Promise<string> {
  const patch = JSON.stringify([{ op: "replace", path: "/spec", value: spec }]);
  const namespaceFlag = namespace === undefined ? [] : ["--namespace", namespace];
  return cluster.kubectl(
    "patch",
    `${kind.toLowerCase()}.maglev.vpp.io`,
    name,
    ...namespaceFlag,
    "--type=json",
    "-p",
    patch,
  );
}

// Keys that the present object has and the former did not are removed by null, as a merge patch does.
function patchAgentPods(before: AgentPods, now: AgentPods): Promise<string> {
  const replacing = (old: Readonly<Record<string, unknown>>, current: Readonly<Record<string, unknown>>) => ({
    ...Object.fromEntries(Object.keys(current).map((key) => [key, null])),
    ...old,
  });
  const nodeSelector = replacing(before.nodeSelector, now.nodeSelector);
  const updateStrategy = replacing(before.updateStrategy, now.updateStrategy);
  const patch = JSON.stringify({ spec: { updateStrategy, template: { spec: { nodeSelector } } } });
  return cluster.kubectl("patch", "daemonset", "maglevd", "--type=merge", "-p", patch);
}
