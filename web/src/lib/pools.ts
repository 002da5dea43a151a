// Summarizes a frontend's pools over several nodes: one value where nodes agree, otherwise each value with its nodes.
import type { Member, MemberTraffic, Named, FrontendParts, PoolDetail } from "../sync/contract";
import { summarizePath, type PathSummary } from "./path";
import { byName } from "./row-order";
import { sumFlows, sumTraffic } from "./traffic";

/** Values with the nodes that report them, most frequent first. */
export type ReportedValues<T> = readonly { readonly value: T; readonly nodes: readonly string[] }[];

/** A member of a pool over several nodes. */
export interface MemberSummary {
  readonly backend: string;
  readonly address: string;
  readonly state: ReportedValues<string>;
  readonly weight: ReportedValues<number>;
  readonly effective: ReportedValues<number>;
  /** Weights in VPP, on nodes where they differ from the effective weight; `undefined`: not in VPP. */
  readonly pendingInVpp: ReportedValues<number | undefined>;
  readonly buckets: ReportedValues<number>;
  readonly condition: ReportedValues<string>;
  readonly weightKept: boolean;
  /** Of all nodes; `undefined` if VPP does not report it. */
  readonly traffic: MemberTraffic | undefined;
  /** Upper bound of the tracked flows on all nodes. */
  readonly flows: number | undefined;
  /** `undefined` if no node probes the path. */
  readonly path: PathSummary | undefined;
  /** Time of the latest transition on any node. */
  readonly since: string | undefined;
  readonly code: string | undefined;
}

/** A pool over several nodes. */
export interface PoolSummary {
  readonly name: string;
  /** Nodes on which the pool is active. */
  readonly active: readonly string[];
  readonly members: readonly MemberSummary[];
}

/** Groups nodes by the value that they report. */
export function groupByValue<T>(values: readonly (readonly [string, T])[]): ReportedValues<T> {
  const nodes = new Map<T, string[]>();
  for (const [node, value] of values) {
    const sameValueNodes = nodes.get(value);
    if (sameValueNodes) sameValueNodes.push(node);
    else nodes.set(value, [node]);
  }
  return [...nodes]
    .map(([value, nodes]) => ({ value, nodes }))
    .sort((a, b) => b.nodes.length - a.nodes.length);
}

/** The entries of pools or members by their `order`. */
export function inOrder<T extends { readonly order: number }>(named: Named<T>): [string, T][] {
  return Object.entries(named).sort(([a, x], [b, y]) => x.order - y.order || byName(a, b));
}

/** Summarizes the pools of `frontend` over the nodes in `cuts`. */
export function summarizePools(frontend: string, cuts: Named<FrontendParts>): PoolSummary[] {
  const pools = new Map<string, { order: number; perNode: [string, PoolDetail][] }>();
  for (const node of Object.keys(cuts).sort()) {
    for (const [name, pool] of Object.entries(cuts[node]?.frontends[frontend]?.pools ?? {})) {
      const entry = pools.get(name) ?? { order: pool.order, perNode: [] };
      entry.perNode.push([node, pool]);
      pools.set(name, entry);
    }
  }
  return [...pools]
    .sort(([a, x], [b, y]) => x.order - y.order || byName(a, b))
    .map(([name, { perNode }]) => ({
      name,
      active: perNode.filter(([, pool]) => pool.active).map(([node]) => node),
      members: summarizeMembers(perNode, cuts),
    }));
}

function summarizeMembers(
  perNode: readonly [string, PoolDetail][],
  cuts: Named<FrontendParts>,
): MemberSummary[] {
  const members = new Map<string, { order: number; perNode: [string, Member][] }>();
  for (const [node, pool] of perNode) {
    for (const [backend, member] of Object.entries(pool.members)) {
      const entry = members.get(backend) ?? { order: member.order, perNode: [] };
      entry.perNode.push([node, member]);
      members.set(backend, entry);
    }
  }
  return [...members]
    .sort(([a, x], [b, y]) => x.order - y.order || byName(a, b))
    .map(([backend, { perNode }]) => summarizeMember(backend, perNode, cuts));
}

function summarizeMember(
  backend: string,
  perNode: readonly [string, Member][],
  cuts: Named<FrontendParts>,
): MemberSummary {
  const each = <T>(value: (member: Member) => T) =>
    groupByValue(perNode.map(([node, member]) => [node, value(member)]));
  const details = perNode.flatMap(([node]) => {
    const detail = cuts[node]?.backends[backend];
    return detail ? ([[node, detail]] as const) : [];
  });
  const newest = details.reduce<(typeof details)[number][1] | undefined>(
    (best, [, detail]) => ((detail.since ?? "") > (best?.since ?? "") ? detail : best),
    undefined,
  );
  return {
    backend,
    address: perNode.map(([, { address }]) => address).find(Boolean) ?? "",
    state: groupByValue(details.map(([node, { state }]) => [node, state])),
    weight: each(({ weight }) => weight),
    effective: each(({ effective }) => effective),
    pendingInVpp: groupByValue(
      perNode.flatMap(([node, { in_vpp, effective }]) =>
        in_vpp === effective ? [] : [[node, in_vpp] as const],
      ),
    ),
    // A node without VPP reports no buckets, which is not a difference.
    buckets: groupByValue(
      perNode.flatMap(([node, { buckets }]) => (buckets === undefined ? [] : [[node, buckets] as const])),
    ),
    condition: each(({ condition }) => condition),
    weightKept: perNode.some(([, { kept }]) => kept),
    traffic: sumTraffic(perNode.map(([, { traffic }]) => traffic)),
    flows: sumFlows(perNode.map(([, { flows }]) => flows)),
    path: summarizePath(perNode.map(([node, { path }]) => [node, path])),
    since: newest?.since,
    code: newest?.code,
  };
}
