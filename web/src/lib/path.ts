// The path of a VIP's packets to a backend, as the agents' path probes find it: on one node, or the worst of several.
import type { PathDetail, PathState } from "../sync/contract";
import { fullTime, listNodes, type Zone } from "./format";

/** A kind of path state, with a glyph of its own. */
export type PathKind = "ok" | "failing" | "unknown";

const KINDS: Record<PathState, PathKind> = {
  // Worst first.
  PathTimeout: "failing",
  PathRefused: "failing",
  MtuTooSmall: "failing",
  Unable: "unknown",
  Unknown: "unknown",
  PathOK: "ok",
};

const WORST_FIRST = Object.keys(KINDS) as PathState[];

// Of states that agents report without a detail.
const EXPLANATIONS: Partial<Record<PathState, string>> = {
  PathOK: "the VIP answers through the tunnel",
  Unknown: "no probe has finished yet",
};

/** A path over several nodes: the worst state, and where it is reported. */
export interface PathSummary {
  readonly state: PathState;
  /** The nodes with this state. */
  readonly nodes: readonly string[];
  /** True if some other node has another state, or none. */
  readonly differs: boolean;
  /** Time of the latest transition to this state. */
  readonly since: string;
  /** The explanation by the node of that transition. */
  readonly detail: string | undefined;
}

/** The kind of a state. */
export function pathKind(state: PathState): PathKind {
  return KINDS[state];
}

/** Summarizes the path on the nodes; `undefined` if none probes it. */
export function summarizePath(
  perNode: readonly (readonly [string, PathDetail | undefined])[],
): PathSummary | undefined {
  const reports = perNode.flatMap(([node, path]) => (path ? [{ node, ...path }] : []));
  const [first, ...others] = reports.sort(
    (a, b) => WORST_FIRST.indexOf(a.state) - WORST_FIRST.indexOf(b.state) || (a.since < b.since ? 1 : -1),
  );
  if (!first) return undefined;
  const { state, since, detail } = first;
  const nodes = [first, ...others].filter((report) => report.state === state).map(({ node }) => node);
  return { state, nodes: nodes.sort(), differs: nodes.length < perNode.length, since, detail };
}

/** The state, with its nodes if others differ. */
export function pathLabel({ state, nodes, differs }: PathSummary): string {
  return differs ? `${state} on ${listNodes(nodes)}` : state;
}

/** The state in full. */
export function pathTooltip(path: PathSummary, zone: Zone): string {
  const detail = path.detail ?? EXPLANATIONS[path.state];
  return [
    `VIP path: ${pathLabel(path)}`,
    `since ${fullTime(Date.parse(path.since), zone)}`,
    ...(detail === undefined ? [] : [detail]),
    "In mode Report, weights do not follow the path.",
  ].join("\n");
}
