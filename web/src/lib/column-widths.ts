// Widths of the columns of names and addresses. The longest text decides, so that none is cut and columns align across
// rows.
import { formatVip } from "./vip";
import type { Vip } from "../sync/contract";

const MIN_NAME = 14;
const MAX_NAME = 44;
const MIN_VIP = 18;

/** Widths in characters. */
export interface Widths {
  readonly name: number;
  readonly vip: number;
}

/** The widths for these frontends. */
export function columnWidths(frontends: Readonly<Record<string, { readonly vip: Vip }>>): Widths {
  let name = MIN_NAME;
  let vip = MIN_VIP;
  for (const key of Object.keys(frontends)) {
    const frontend = frontends[key];
    name = Math.max(name, key.length);
    if (frontend) vip = Math.max(vip, formatVip(frontend.vip).length);
  }
  return { name: Math.min(name, MAX_NAME), vip };
}

export function equalWidths(a: Widths, b: Widths): boolean {
  return a.name === b.name && a.vip === b.vip;
}

/** Passes the widths to the style sheet. */
export function applyWidths(element: HTMLElement, { name, vip }: Widths): void {
  element.style.setProperty("--chars-name", String(name));
  element.style.setProperty("--chars-vip", String(vip));
}
