// Filter of the frontends on a node's tab.
import type { FrontendDetail, NodePage } from "../sync/contract";
import { formatVip } from "./vip";

const texts = new WeakMap<FrontendDetail, string>();

/** The names whose text contains every term. */
export function matchingFrontends(
  state: NodePage,
  names: readonly string[],
  terms: readonly string[],
): readonly string[] {
  if (terms.length === 0) return names;
  return names.filter((name) => {
    const frontend = state.frontends[name];
    if (!frontend) return false;
    const text = frontendText(name, frontend);
    return terms.every((term) => text.includes(term));
  });
}

function frontendText(name: string, frontend: FrontendDetail): string {
  let text = texts.get(frontend);
  if (text === undefined) {
    const { vip, state, standing, report, problems, pools, encap = "" } = frontend;
    const parts = [name, formatVip(vip), state, standing, report?.result ?? "", encap];
    for (const { reason } of problems) parts.push(reason);
    for (const { members } of Object.values(pools)) {
      for (const [backend, { address = "", condition, path }] of Object.entries(members))
        parts.push(backend, address, condition, path?.state ?? "");
    }
    text = parts.join("\n").toLowerCase();
    texts.set(frontend, text);
  }
  return text;
}
