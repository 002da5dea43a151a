// The cluster that hack/web/sandbox-check has started: kubectl, helm, the demo backends, and the processes of the pods.
import { execFile } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { vi } from "vitest";
import type { NodePage, Summary } from "../../src/sync/contract.js";

/** Time limit and polling interval for any single condition. Generous: a busy machine must not fail a test. */
export const UNTIL = { timeout: 60_000, interval: 100 };

// All conditions of a healthy cluster at once, after the worst that a test does to it.
const UNTIL_HEALTHY = { timeout: 150_000, interval: 250 };

// Started by hack/web/sandbox-check.
const NODES = 3;

// Longer than any wait of the tools themselves: a tool that hangs must not use up the time limit of a hook.
const TOOL_TIMEOUT_MS = 170_000;

const CHART = join(import.meta.dirname, "../../../charts/maglev");

const run = promisify(execFile);

/** A ready pod of the dashboard. */
export interface Pod {
  readonly name: string;
  /** `host:port` of its HTTP server. */
  readonly address: string;
}

interface PodList {
  readonly items: readonly {
    readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
    readonly status: {
      readonly podIP?: string;
      readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    };
  }[];
}

interface FrontendList {
  readonly items: readonly {
    readonly metadata: { readonly name: string; readonly generation: number };
    readonly status?: {
      readonly conditions?: readonly {
        readonly type: string;
        readonly status: string;
        readonly observedGeneration?: number;
      }[];
    };
  }[];
}

/** An object of the Kubernetes API, as far as these tests look at it. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly [field: string]: unknown;
}

/** Response mode of a demo backend. */
export type Mode = "ok" | "fail";

class Cluster {
  readonly #dir = process.env["MAGLEV_SANDBOX_DIR"] ?? "";
  /** Objects of built-in kinds that tests applied and that are still there, oldest first. */
  readonly applied: KubernetesObject[] = [];
  #originalValues: string | undefined;

  async #tool(tool: string, args: readonly string[], stdin = ""): Promise<string> {
    if (!this.#dir)
      throw new Error("MAGLEV_SANDBOX_DIR is not set: run these tests by hack/web/sandbox-check");
    const env = { KUBECONFIG: join(this.#dir, "kubeconfig"), HOME: this.#dir };
    const running = run(join(this.#dir, "bin", tool), args, {
      env,
      maxBuffer: 1 << 26,
      timeout: TOOL_TIMEOUT_MS,
    });
    // A program that does not read its input may have exited before the input is written.
    running.child.stdin?.on("error", () => undefined).end(stdin);
    return (await running).stdout;
  }

  /** Runs kubectl as administrator. */
  kubectl(...args: readonly string[]): Promise<string> {
    return this.#tool("kubectl", args);
  }

  /** Adds values to the release and waits until the new dashboard has rolled out. */
  async upgrade(...values: readonly string[]): Promise<void> {
    this.#originalValues ??= await this.#tool("helm", ["get", "values", "maglev", "--output", "json"]);
    const set = values.flatMap((value) => ["--set", value]);
    await this.#upgrade(["--reset-then-reuse-values", ...set]);
  }

  /** Gives the release the values that it had before the first `upgrade`. */
  async restoreValues(): Promise<void> {
    if (this.#originalValues === undefined) return;
    await this.#upgrade(["--reset-values", "--values", "-"], this.#originalValues);
    this.#originalValues = undefined;
  }

  // Other tests patch objects of the release, hence --force-conflicts.
  async #upgrade(flags: readonly string[], stdin = ""): Promise<void> {
    await this.#tool("helm", ["upgrade", "maglev", CHART, "--force-conflicts", ...flags], stdin);
    await this.kubectl("rollout", "status", "deployment/maglev-frontend", "--timeout=150s");
  }

  /** Applies objects. */
  async apply(...objects: readonly KubernetesObject[]): Promise<void> {
    this.applied.push(...objects.filter(({ apiVersion }) => !apiVersion.startsWith("maglev.vpp.io/")));
    await this.#tool("kubectl", ["apply", "-f", "-"], list(objects));
  }

  /** Creates or replaces objects by exactly these manifests. */
  async put(...objects: readonly object[]): Promise<void> {
    await this.#tool("kubectl", ["apply", "--server-side", "--force-conflicts", "-f", "-"], list(objects));
  }

  /** Deletes objects and waits until they are gone. Objects that do not exist are ignored. */
  async delete(...objects: readonly KubernetesObject[]): Promise<void> {
    if (objects.length > 0)
      await this.#tool(
        "kubectl",
        ["delete", "--ignore-not-found", "--timeout=60s", "-f", "-"],
        list(objects),
      );
  }

  /** Deletes objects of one of maglev's kinds and waits until they are gone. Objects that do not exist are ignored. */
  async remove(kind: string, ...names: readonly string[]): Promise<void> {
    await this.kubectl("delete", `${kind}.maglev.vpp.io`, ...names, "--ignore-not-found", "--timeout=60s");
  }

  /** Sets the mode of demo backends. */
  async backends(names: readonly string[], mode: Mode): Promise<void> {
    for (const name of names) await this.#tool("maglev-sandbox", ["backend", name, mode, "--dir", this.#dir]);
  }

  /** The names of the demo backends whose mode is not `ok`. */
  async failingBackends(): Promise<string[]> {
    const text = await this.#tool("maglev-sandbox", ["backend", "--dir", this.#dir]);
    return text
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .filter(([name = "", ...columns]) => /^(web|spare)-\d$/.test(name) && !columns.includes("ok"))
      .map(([name = ""]) => name);
  }

  /** Sets a Backend's adminState; `null` removes the field. */
  async adminState(backend: string, state: "Paused" | null): Promise<void> {
    const patch = JSON.stringify({ spec: { adminState: state } });
    await this.kubectl("patch", "backends.maglev.vpp.io", backend, "--type=merge", "-p", patch);
  }

  async #dashboardPods(): Promise<PodList["items"]> {
    const selector = "app.kubernetes.io/component=dashboard";
    return (JSON.parse(await this.kubectl("get", "pods", "-l", selector, "-o", "json")) as PodList).items;
  }

  /** The ready replicas of the dashboard. */
  async dashboards(): Promise<Pod[]> {
    return (await this.#dashboardPods()).filter(isReady).map(toPod);
  }

  /** The ids of this sandbox's processes that run `program` and have `text` in their arguments or environment. */
  processes(program: string, text: string): number[] {
    return this.#processes().flatMap(({ id, name, context }) =>
      name === program && context.includes(text) ? [id] : [],
    );
  }

  #processes(): { readonly id: number; readonly name: string; readonly context: string }[] {
    return readdirSync("/proc")
      .filter((entry) => /^\d+$/.test(entry))
      .flatMap((id) => {
        try {
          const line = readFileSync(`/proc/${id}/cmdline`, "utf8");
          const context = `${line}\0${readFileSync(`/proc/${id}/environ`, "utf8")}`;
          return context.includes(this.#dir)
            ? [{ id: Number(id), name: basename(line.split("\0")[0] ?? ""), context }]
            : [];
        } catch {
          // The process has ended meanwhile, or belongs to another user.
          return [];
        }
      });
  }

  /** Sends a signal to the one matching process. */
  signal(program: string, text: string, signal: NodeJS.Signals): void {
    const ids = this.processes(program, text);
    const [id] = ids;
    if (id === undefined || ids.length > 1)
      throw new Error(`expected one ${program} with ${JSON.stringify(text)}, found ${ids.length}`);
    process.kill(id, signal);
  }

  /** Sends a signal to a node's agent. */
  agent(node: string, signal: NodeJS.Signals): void {
    this.signal("maglevd", `MAGLEVD_NODE_NAME=${node}\0`, signal);
  }

  /** Sends a signal to a node's VPP. */
  vpp(node: string, signal: NodeJS.Signals): void {
    this.signal("maglev-sandbox", `/nodes/${node}/run/vpp/api.sock`, signal);
  }

  /** Sends a signal to a replica of the dashboard. */
  dashboard({ address }: Pod, signal: NodeJS.Signals): void {
    this.signal("maglev-frontend", `POD_IP=${address.split(":")[0] ?? ""}\0`, signal);
  }

  /** Continues every stopped process of the sandbox. */
  continueProcesses(): void {
    for (const { id } of this.#processes()) {
      if (/^State:\s+T/m.test(readFileSync(`/proc/${id}/status`, "utf8"))) process.kill(id, "SIGCONT");
    }
  }

  /** The summary that a replica serves. */
  async summary({ address }: Pod): Promise<Summary> {
    return (await (await fetch(`http://${address}/view/api/summary`)).json()) as Summary;
  }

  /** A node's state that a replica serves. */
  async state({ address }: Pod, node: string): Promise<NodePage> {
    return (await (await fetch(`http://${address}/view/api/state/${node}`)).json()) as NodePage;
  }

  /**
   * Waits until the cluster is healthy and at rest: every Frontend is Ready at its generation, every node reports and
   * has programmed it, VPP has the effective weights, no count of problems is above 0, and no pod of the dashboard is
   * starting or terminating. Returns a replica.
   */
  healthy(): Promise<Pod> {
    return vi.waitFor(async () => {
      const [pods, replicas, frontends] = await Promise.all([
        this.#dashboardPods(),
        this.kubectl("get", "deployment", "maglev-frontend", "-o", "jsonpath={.spec.replicas}"),
        this.kubectl("get", "frontends.maglev.vpp.io", "-A", "-o", "json"),
      ]);
      const [replica] = pods.filter(isReady).map(toPod);
      if (!replica) throw new Error("no replica of the dashboard is ready");
      const { items } = JSON.parse(frontends) as FrontendList;
      const { totals, strip, rows, nodes } = await this.summary(replica);
      const states = await Promise.all(Object.keys(nodes).map((node) => this.state(replica, node)));
      const ready = pods.filter(isReady).length;
      const problems = [
        ...(String(ready) === replicas && ready === pods.length
          ? []
          : [`${ready} of ${pods.length} replicas of the dashboard are ready, ${replicas} desired`]),
        ...items.flatMap(unsettledFrontend),
        ...(totals.vips === items.length
          ? []
          : [`the dashboard has ${totals.vips} VIPs of ${items.length} Frontends`]),
        ...(totals.reporting === NODES ? [] : [`${totals.reporting} of ${NODES} nodes report`]),
        ...Object.entries(strip).flatMap(([name, count]) =>
          count === 0 ? [] : [`count ${name} is ${count}`],
        ),
        ...Object.entries(rows).flatMap(([name, { state, up, total }]) =>
          state === "up" && up === total ? [] : [`${name} is ${state} with ${up} of ${total} backends up`],
        ),
        ...states.flatMap(unsettledNode),
      ];
      if (problems.length > 0) throw new Error(`the cluster is not healthy: ${problems.join("; ")}`);
      return replica;
    }, UNTIL_HEALTHY);
  }
}

function list(items: readonly object[]): string {
  return JSON.stringify({ apiVersion: "v1", kind: "List", items });
}

function isReady({ metadata, status }: PodList["items"][number]): boolean {
  const ready = status.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
  return ready && metadata.deletionTimestamp === undefined;
}

function toPod({ metadata, status }: PodList["items"][number]): Pod {
  return { name: metadata.name, address: `${status.podIP ?? ""}:8080` };
}

function unsettledFrontend({ metadata, status }: FrontendList["items"][number]): string[] {
  const ready = status?.conditions?.find(({ type }) => type === "Ready");
  if (ready?.status !== "True") return [`${metadata.name} is not Ready`];
  return ready.observedGeneration === metadata.generation
    ? []
    : [`${metadata.name} is Ready at an older generation`];
}

function unsettledNode({ node, frontends }: NodePage): string[] {
  return Object.entries(frontends).flatMap(([name, { report, generation, pools }]) => {
    if (report?.result !== "Programmed" || report.generation !== generation)
      return [`${node} has not programmed ${name}`];
    return Object.values(pools).flatMap(({ members }) =>
      Object.entries(members).flatMap(([backend, { effective, in_vpp, buckets = 0 }]) =>
        effective === in_vpp && effective > 0 === buckets > 0
          ? []
          : [`${node} has not moved ${backend} of ${name}`],
      ),
    );
  });
}

/** The cluster. */
export const cluster = new Cluster();
