// The order of rows: what is wrong first, then by name as the server orders. While somebody points at the table or
// is in it with the keyboard, nothing moves: rows stay where they are, even those that do not belong there any more.
import type { Named, Row } from "../sync/contract";

/** Names by code unit, as the server orders them. */
export function byName(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The names of the rows in their order. */
export function sortRows(rows: Named<Row>, names: readonly string[]): string[] {
  const rank = (name: string) => rows[name]?.rank ?? 0;
  return [...names].sort((a, b) => rank(b) - rank(a) || byName(a, b));
}

/** The order to show: `wanted`, or while frozen what is shown now with newcomers at its end. */
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
