// A frontend's pools over all nodes: what all say alike is said once, and what differs is said with its nodes.
import type { Member, Named, NodeCut, PoolDetail } from "../sync/contract";
import { byName } from "./row-order";

/** Values, each with the nodes that say so, most nodes first. */
export type Said<T> = readonly { readonly value: T; readonly nodes: readonly string[] }[];

/** A member of a pool over all nodes. */
export interface FoldedMember {
  readonly backend: string;
  readonly address: string;
  readonly state: Said<string>;
  readonly weight: Said<number>;
  readonly effective: Said<number>;
  readonly buckets: Said<number>;
  readonly condition: Said<string>;
  readonly kept: boolean;
  /** When it came into its state, on the node where that was last. */
  readonly since: string | undefined;
  readonly code: string | undefined;
}

/** A pool over all nodes. */
export interface FoldedPool {
  readonly name: string;
  /** Nodes on which it is active. */
  readonly active: readonly string[];
  readonly members: readonly FoldedMember[];
}

/** What the nodes say, folded. */
export function said<T>(values: readonly (readonly [string, T])[]): Said<T> {
  const nodes = new Map<T, string[]>();
  for (const [node, value] of values) {
    const others = nodes.get(value);
    if (others) others.push(node);
    else nodes.set(value, [node]);
  }
  return [...nodes]
    .map(([value, nodes]) => ({ value, nodes }))
    .sort((a, b) => b.nodes.length - a.nodes.length);
}

/** In the order that a pool or member stands at. */
export function inOrder<T extends { readonly order: number }>(named: Named<T>): [string, T][] {
  return Object.entries(named).sort(([a, x], [b, y]) => x.order - y.order || byName(a, b));
}

/** The pools of `frontend` over the nodes in `cuts`. */
export function foldPools(frontend: string, cuts: Named<NodeCut>): FoldedPool[] {
  const pools = new Map<string, { order: number; on: [string, PoolDetail][] }>();
  for (const node of Object.keys(cuts).sort()) {
    for (const [name, pool] of Object.entries(cuts[node]?.frontends[frontend]?.pools ?? {})) {
      const entry = pools.get(name) ?? { order: pool.order, on: [] };
      entry.on.push([node, pool]);
      pools.set(name, entry);
    }
  }
  return [...pools]
    .sort(([a, x], [b, y]) => x.order - y.order || byName(a, b))
    .map(([name, { on }]) => ({
      name,
      active: on.filter(([, pool]) => pool.active).map(([node]) => node),
      members: foldMembers(on, cuts),
    }));
}

function foldMembers(on: readonly [string, PoolDetail][], cuts: Named<NodeCut>): FoldedMember[] {
  const members = new Map<string, { order: number; on: [string, Member][] }>();
  for (const [node, pool] of on) {
    for (const [backend, member] of Object.entries(pool.members)) {
      const entry = members.get(backend) ?? { order: member.order, on: [] };
      entry.on.push([node, member]);
      members.set(backend, entry);
    }
  }
  return [...members]
    .sort(([a, x], [b, y]) => x.order - y.order || byName(a, b))
    .map(([backend, { on }]) => foldMember(backend, on, cuts));
}

function foldMember(backend: string, on: readonly [string, Member][], cuts: Named<NodeCut>): FoldedMember {
  const each = <T>(value: (member: Member) => T) => said(on.map(([node, member]) => [node, value(member)]));
  const details = on.flatMap(([node]) => {
    const detail = cuts[node]?.backends[backend];
    return detail ? ([[node, detail]] as const) : [];
  });
  const newest = details.reduce<(typeof details)[number][1] | undefined>(
    (best, [, detail]) => ((detail.since ?? "") > (best?.since ?? "") ? detail : best),
    undefined,
  );
  return {
    backend,
    address: on.map(([, { address }]) => address).find(Boolean) ?? "",
    state: said(details.map(([node, { state }]) => [node, state])),
    weight: each(({ weight }) => weight),
    effective: each(({ effective }) => effective),
    // A node without VPP has none to tell of, which is no difference.
    buckets: said(
      on.flatMap(([node, { buckets }]) => (buckets === undefined ? [] : [[node, buckets] as const])),
    ),
    condition: each(({ condition }) => condition),
    kept: on.some(([, { kept }]) => kept),
    since: newest?.since,
    code: newest?.code,
  };
}
