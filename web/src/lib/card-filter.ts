// Which frontends of a node's tab are shown.
import type { FrontendDetail, NodeState } from "../sync/contract";
import { vipText } from "./vip";

const texts = new WeakMap<FrontendDetail, string>();

/** Those of `names` whose text holds every word. */
export function matchingDetails(
  state: NodeState,
  names: readonly string[],
  words: readonly string[],
): readonly string[] {
  if (words.length === 0) return names;
  return names.filter((name) => {
    const frontend = state.frontends[name];
    if (!frontend) return false;
    const text = textOf(name, frontend);
    return words.every((word) => text.includes(word));
  });
}

function textOf(name: string, frontend: FrontendDetail): string {
  let text = texts.get(frontend);
  if (text === undefined) {
    const { vip, state, standing, report, problems, pools, encap = "" } = frontend;
    const of = [name, vipText(vip), state, standing, report?.result ?? "", encap];
    for (const { reason } of problems) of.push(reason);
    for (const { members } of Object.values(pools)) {
      for (const [backend, { address = "", condition }] of Object.entries(members))
        of.push(backend, address, condition);
    }
    text = of.join("\n").toLowerCase();
    texts.set(frontend, text);
  }
  return text;
}
