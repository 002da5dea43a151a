// The application servers in VPP that no pool of a frontend names. VPP keeps them while their removal is held.
import type { FrontendParts, Named } from "../sync/contract";

export interface UnclaimedServer {
  readonly address: string;
  /** The largest weight on a node. */
  readonly weight: number;
  /** Number of nodes that have the server. */
  readonly nodes: number;
}

/** The servers on any of `nodes`, by address. */
export function unclaimedServers(frontend: string, nodes: Named<FrontendParts>): readonly UnclaimedServer[] {
  const servers = new Map<string, UnclaimedServer>();
  for (const parts of Object.values(nodes)) {
    for (const [address, weight] of Object.entries(
      parts.frontends[frontend]?.in_vpp?.unclaimed_servers ?? {},
    )) {
      const known = servers.get(address);
      servers.set(address, {
        address,
        weight: Math.max(weight, known?.weight ?? 0),
        nodes: (known?.nodes ?? 0) + 1,
      });
    }
  }
  return [...servers.values()].sort((a, b) => a.address.localeCompare(b.address));
}
