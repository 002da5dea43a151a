// The order of rows: problems first, then by name. While the pointer or the focus is in the table the order is frozen:
// rows keep their place, even those that no longer match.
import type { Named, Row } from "../sync/contract";

/** Compares names by code unit, like the server. */
export function byName(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The names of the rows in their order. */
export function sortRows(rows: Named<Row>, names: readonly string[]): string[] {
  const rank = (name: string) => rows[name]?.rank ?? 0;
  return [...names].sort((a, b) => rank(b) - rank(a) || byName(a, b));
}

/** The order to show: `desired`, or while frozen the shown order with new rows appended. */
export function stableOrder(
  shown: readonly string[],
  desired: readonly string[],
  frozen: boolean,
): readonly string[] {
  if (frozen) {
    const shownSet = new Set(shown);
    const newcomers = desired.filter((name) => !shownSet.has(name));
    return newcomers.length === 0 ? shown : [...shown, ...newcomers];
  }
  const same = shown.length === desired.length && shown.every((name, index) => name === desired[index]);
  return same ? shown : desired;
}
