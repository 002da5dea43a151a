// The servers in VPP that no pool of a frontend names, below its pools. Nothing without any.
import { createMemo, Show, type JSX } from "solid-js";
import { unclaimedServers } from "../lib/unclaimed-servers";
import type { FrontendParts, Named } from "../sync/contract";

export function UnclaimedServers(props: {
  readonly frontend: string;
  readonly nodes: Named<FrontendParts>;
}): JSX.Element {
  const servers = createMemo(() => unclaimedServers(props.frontend, props.nodes));
  const listed = () => servers().map(({ address, weight }) => `${address} (weight ${String(weight)})`);
  return (
    <Show when={servers().length > 0}>
      <p class="is-standby">In VPP, but in no pool, until their removal: {listed().join(", ")}</p>
    </Show>
  );
}
