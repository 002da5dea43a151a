// The three kinds of documents, and the messages that apply to them.
import { isCovered } from "../lib/ordering";
import { merge } from "../lib/merge";
import { applyPatch, isRecord } from "../lib/patch";
import type {
  Position,
  Positions,
  BackendDetail,
  FrontendPage,
  Message,
  Named,
  FrontendParts,
  NodePage,
  ObjectInfo,
  Summary,
} from "./contract";
import type { DocumentKind } from "./document";

/** The summary of all nodes. */
export const summaryKind: DocumentKind<Summary> = {
  path: "api/summary",
  asOf: (summary) => summary.as_of,
  reporting: (summary, node) => summary.nodes[node]?.reporting ?? true,
  apply(summary, message, fetched) {
    if (message.event !== "summary" || isCovered(message.data.as_of, fetched)) return summary;
    return applyPatch(summary, message.data.patch);
  },
};

/** The whole state of one node. */
export function nodeKind(node: string): DocumentKind<NodePage> {
  return {
    path: `api/state/${encodeURIComponent(node)}`,
    asOf: ({ as_of }) => (as_of ? { [node]: as_of } : {}),
    apply(state, message, fetched) {
      if (message.event === "object") {
        const isOwnObject =
          message.data.key === `MaglevNode ${node}` || message.data.key === configKey(state);
        return isOwnObject ? replaceObject(state, message) : state;
      }
      if (message.event !== "node" || message.data.node !== node) return state;
      if (isNodeCovered(node, message.data.as_of, fetched)) return state;
      return applyPatch(state, message.data.patch);
    },
    // A change to another LoadBalancerConfig sends no object message unless that object changes.
    isComplete: (state) => {
      const key = configKey(state);
      return key === undefined || Object.keys(state.objects).length === 0 || key in state.objects;
    },
  };
}

function configKey({ settings }: NodePage): string | undefined {
  const name = settings?.load_balancer_config;
  return name === undefined ? undefined : `LoadBalancerConfig ${name}`;
}

/** One frontend on every node, with its Kubernetes objects and those that it references. */
export function pageKind(frontend: string): DocumentKind<FrontendPage> {
  return {
    path: `api/frontend/${frontend.split("/").map(encodeURIComponent).join("/")}`,
    asOf: (page) => page.as_of,
    apply(page, message, fetched) {
      if (message.event === "object")
        return isConcerned(frontend, page, message.data.key) ? replaceObject(page, message) : page;
      if (message.event !== "node" || isNodeCovered(message.data.node, message.data.as_of, fetched))
        return page;
      const { node, patch } = message.data;
      const applied = isRecord(patch) ? applyCut(frontend, page.nodes[node] ?? EMPTY, patch) : EMPTY;
      return applied === (page.nodes[node] ?? EMPTY)
        ? page
        : { ...page, nodes: { ...page.nodes, [node]: applied } };
    },
    isComplete: (page) =>
      Object.values(page.nodes).every((cut) =>
        poolMembers(cut, frontend).every(
          ([backend, { address }]) => address === undefined || backend in cut.backends,
        ),
      ),
  };
}

const EMPTY: FrontendParts = { frontends: {}, backends: {}, health_checks: {} };

function isNodeCovered(node: string, at: Position | undefined, fetched: Positions): boolean {
  return isCovered(at && { [node]: at }, fetched);
}

// Applies the part of a patch that concerns the frontend, its backends and their checks.
function applyCut(frontend: string, cut: FrontendParts, patch: Record<string, unknown>): FrontendParts {
  const frontends = applyPatch(cut.frontends, pickKeys(patch["frontends"], [frontend]));
  const used = poolMembers({ ...cut, frontends }, frontend).map(([backend]) => backend);
  const backends = applyPatch(cut.backends, ofKnownBackends(cut.backends, pickKeys(patch["backends"], used)));
  const checks = used.map((backend) => backends[backend]?.check ?? "");
  const health_checks = applyPatch(cut.health_checks, pickKeys(patch["health_checks"], checks));
  const same =
    frontends === cut.frontends && backends === cut.backends && health_checks === cut.health_checks;
  return same ? cut : { frontends, backends, health_checks };
}

function pickKeys(patch: unknown, keys: readonly string[]): Record<string, unknown> {
  const picked: Record<string, unknown> = {};
  if (isRecord(patch)) for (const key of keys) if (key in patch) picked[key] = patch[key];
  return picked;
}

// The patch of a backend that the page did not have is incomplete. Such a backend is fetched.
function ofKnownBackends(
  knownBackends: Named<BackendDetail>,
  patch: Record<string, unknown>,
): Record<string, unknown> {
  const applicable = Object.entries(patch).filter(
    ([name, detail]) => name in knownBackends || (isRecord(detail) && "history" in detail),
  );
  return Object.fromEntries(applicable);
}

function poolMembers(cut: FrontendParts, frontend: string) {
  return Object.values(cut.frontends[frontend]?.pools ?? {}).flatMap((pool) => Object.entries(pool.members));
}

function replaceObject<T extends { readonly objects: Named<ObjectInfo> }>(
  page: T,
  { data: { key, object } }: Extract<Message, { event: "object" }>,
): T {
  const { [key]: old, ...otherObjects } = page.objects;
  return { ...page, objects: object ? { ...otherObjects, [key]: merge(old, object) } : otherObjects };
}

function isConcerned(frontend: string, page: FrontendPage, key: string): boolean {
  if (key in page.objects || key === `Frontend ${frontend}`) return true;
  return Object.values(page.nodes).some((cut) =>
    poolMembers(cut, frontend).some(
      ([backend]) =>
        key === `Backend ${backend}` || key === `HealthCheck ${cut.backends[backend]?.check ?? ""}`,
    ),
  );
}
