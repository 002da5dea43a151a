// How wide the columns of names and addresses must be: the longest decides, so that neither is cut and no column
// moves from row to row.
import { vipText } from "./vip";
import type { Vip } from "../sync/contract";

const LEAST_NAME = 14;
const MOST_NAME = 44;
const LEAST_VIP = 18;

/** Characters of the name and of the address. */
export interface Widths {
  readonly name: number;
  readonly vip: number;
}

/** The widths for these frontends. */
export function widthsOf(frontends: Readonly<Record<string, { readonly vip: Vip }>>): Widths {
  let name = LEAST_NAME;
  let vip = LEAST_VIP;
  for (const key of Object.keys(frontends)) {
    const of = frontends[key];
    name = Math.max(name, key.length);
    if (of) vip = Math.max(vip, vipText(of.vip).length);
  }
  return { name: Math.min(name, MOST_NAME), vip };
}

/** Whether nothing has to be laid out anew. */
export function sameWidths(a: Widths, b: Widths): boolean {
  return a.name === b.name && a.vip === b.vip;
}

/** Hands them to the style sheet. */
export function setWidths(element: HTMLElement, { name, vip }: Widths): void {
  element.style.setProperty("--chars-name", String(name));
  element.style.setProperty("--chars-vip", String(vip));
}
