// The cluster that hack/web/sandbox-check has started: kubectl, its backends, and the processes of its pods.
import { execFile } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { expect, vi } from "vitest";
import type { NodeState, Summary } from "../../src/sync/contract.js";

/** How long a test waits for any condition. */
export const UNTIL = { timeout: 30_000, interval: 100 };

const CHART = join(import.meta.dirname, "../../../charts/maglev");

const run = promisify(execFile);

/** A pod that is ready. */
export interface Pod {
  readonly name: string;
  /** Of its HTTP server, for the dashboard's. */
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

/** How a backend of the sandbox may behave. */
export type Mode = "ok" | "fail";

class Cluster {
  readonly #dir = process.env["MAGLEV_SANDBOX_DIR"] ?? "";

  async #tool(tool: string, args: readonly string[], stdin = ""): Promise<string> {
    if (!this.#dir) throw new Error("no MAGLEV_SANDBOX_DIR: these tests are run by hack/web/sandbox-check");
    const env = { KUBECONFIG: join(this.#dir, "kubeconfig"), HOME: this.#dir };
    const running = run(join(this.#dir, "bin", tool), args, { env, maxBuffer: 1 << 26 });
    // A program that does not read its input may be gone before it is written.
    running.child.stdin?.on("error", () => undefined).end(stdin);
    return (await running).stdout;
  }

  /** Runs the sandbox's kubectl as administrator. */
  kubectl(...args: readonly string[]): Promise<string> {
    return this.#tool("kubectl", args);
  }

  /** Upgrades the release to these values beside those that it has, and waits until its dashboard is the new one. */
  async upgrade(...values: readonly string[]): Promise<void> {
    const set = values.flatMap((value) => ["--set", value]);
    // Other tests patch what the release has applied; that is taken back.
    const how = ["--reset-then-reuse-values", "--force-conflicts"];
    await this.#tool("helm", ["upgrade", "maglev", CHART, ...how, ...set]);
    await this.kubectl("rollout", "status", "deployment/maglev-frontend", "--timeout=120s");
  }

  /** Applies objects. */
  async apply(...objects: readonly object[]): Promise<void> {
    const list = { apiVersion: "v1", kind: "List", items: objects };
    await this.#tool("kubectl", ["apply", "-f", "-"], JSON.stringify(list));
  }

  /** Deletes objects of one kind and waits until they are gone; those that are not there are fine. */
  async remove(kind: string, ...names: readonly string[]): Promise<void> {
    await this.kubectl("delete", `${kind}.maglev.vpp.io`, ...names, "--ignore-not-found");
  }

  /** Makes Backends of the demo behave so. */
  async backends(names: readonly string[], mode: Mode): Promise<void> {
    for (const name of names) await this.#tool("maglev-sandbox", ["backend", name, mode, "--dir", this.#dir]);
  }

  /** Changes a Backend's adminState; `null` takes it out again. */
  async adminState(backend: string, state: "Paused" | null): Promise<void> {
    const patch = JSON.stringify({ spec: { adminState: state } });
    await this.kubectl("patch", "backends.maglev.vpp.io", backend, "--type=merge", "-p", patch);
  }

  /** The replicas of the dashboard that are ready. */
  async dashboards(): Promise<Pod[]> {
    const selector = "app.kubernetes.io/component=dashboard";
    const { items } = JSON.parse(await this.kubectl("get", "pods", "-l", selector, "-o", "json")) as PodList;
    return items
      .filter(({ metadata, status }) => {
        const ready = status.conditions?.some(({ type, status }) => type === "Ready" && status === "True");
        return ready && metadata.deletionTimestamp === undefined;
      })
      .map(({ metadata, status }) => ({ name: metadata.name, address: `${status.podIP ?? ""}:8080` }));
  }

  /** The ids of processes of this sandbox that run `program` and have `text` in their arguments or environment. */
  processes(program: string, text: string): number[] {
    return readdirSync("/proc")
      .filter((entry) => /^\d+$/.test(entry))
      .filter((id) => {
        try {
          const line = readFileSync(`/proc/${id}/cmdline`, "utf8");
          const all = `${line}\0${readFileSync(`/proc/${id}/environ`, "utf8")}`;
          return (
            basename(line.split("\0")[0] ?? "") === program && all.includes(this.#dir) && all.includes(text)
          );
        } catch {
          // It has ended meanwhile, or is somebody else's.
          return false;
        }
      })
      .map(Number);
  }

  /** Sends a signal to the one such process. */
  signal(program: string, text: string, signal: NodeJS.Signals): void {
    const [id, ...others] = this.processes(program, text);
    if (id === undefined || others.length > 0) throw new Error(`not one ${program} with ${text}`);
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

  /** The summary as a replica has it. */
  async summary({ address }: Pod): Promise<Summary> {
    return (await (await fetch(`http://${address}/view/api/summary`)).json()) as Summary;
  }

  /** A node's state as a replica has it. */
  async state({ address }: Pod, node: string): Promise<NodeState> {
    return (await (await fetch(`http://${address}/view/api/state/${node}`)).json()) as NodeState;
  }

  /** Waits until nothing is wrong and everything is there; the replica that said so. */
  async well(vips: number): Promise<Pod> {
    return vi.waitFor(async () => {
      const [replica] = await this.dashboards();
      if (!replica) throw new Error("no dashboard is ready");
      const { totals, strip, rows } = await this.summary(replica);
      const states = Object.values(rows).map(({ state, up, total }) => `${state} ${String(up === total)}`);
      expect({
        vips: totals.vips,
        reporting: `${totals.reporting} of ${totals.nodes}`,
        strip: Object.values(strip).join(),
        states: [...new Set(states)].join(),
      }).toEqual({ vips, reporting: "3 of 3", strip: "0,0,0,0,0,0,0", states: "up true" });
      return replica;
    }, UNTIL);
  }
}

/** The cluster. */
export const cluster = new Cluster();

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

/** Two more Frontends than the demo has, for every test: one may go down alone, one has a standby pool of its own. */
export const FRONTENDS = [
  frontend("www", "203.0.113.11", { primary: ["web-3", "web-4"] }),
  frontend("api", "203.0.113.12", { primary: ["spare-1", "spare-2"], standby: ["web-1", "web-2"] }),
];

/** Applies them, and `more`, and waits until all is well; a replica that says so. */
export async function begin(...more: readonly { readonly kind: string }[]): Promise<Pod> {
  await cluster.apply(...FRONTENDS, ...more);
  // The demo has one.
  return cluster.well(1 + [...FRONTENDS, ...more].filter(({ kind }) => kind === "Frontend").length);
}
