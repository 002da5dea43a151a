// The traffic of one backend on a node, from the pages of the frontends that use it.
import type { FrontendPage, MemberTraffic } from "../sync/contract";
import { sumFlows } from "./traffic";

export interface BackendTraffic {
  /** Of all VIPs; `undefined` if VPP does not report it. */
  readonly traffic: MemberTraffic | undefined;
  /** Upper bound of the tracked flows in the frontends of the pages. */
  readonly flows: number | undefined;
}

/** The traffic of `backend` on `node`. VPP counts by address, so all frontends have the same. */
export function backendTraffic(
  backend: string,
  node: string,
  pages: readonly FrontendPage[],
): BackendTraffic {
  const details = new Map(pages.flatMap(({ nodes }) => Object.entries(nodes[node]?.frontends ?? {})));
  const members = [...details.values()].map(({ pools }) =>
    Object.values(pools).flatMap(({ members }) => members[backend] ?? []),
  );
  return {
    traffic: members.flat().find(({ traffic }) => traffic)?.traffic,
    // A backend in two pools is one server in VPP.
    flows: sumFlows(members.map(([member]) => member?.flows)),
  };
}
