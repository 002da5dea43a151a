// Filters of rows, nodes and objects: by search terms, and by the selected count.
import type { Flag, Named, NodeHeader, ObjectProblems, Row } from "../sync/contract";

/** The terms of a query, in lower case. */
export function searchTerms(query: string): string[] {
  return query.toLowerCase().split(/\s+/).filter(Boolean);
}

// Search text of a row, computed once: a changed row is a new object.
const texts = new WeakMap<Row, string>();

function rowText(name: string, row: Row): string {
  let text = texts.get(row);
  if (text === undefined) {
    const { vip, state, flags, cells, reason } = row;
    const port = vip.protocol === "any" ? "any" : `${vip.protocol} ${vip.port}`;
    const address = vip.address.includes(":") ? `[${vip.address}]:${vip.port}` : `${vip.address}:${vip.port}`;
    const parts = [
      name,
      vip.address,
      address,
      port,
      state,
      ...flags,
      reason,
      ...new Set(Object.values(cells)),
    ];
    text = parts.join("\n").toLowerCase();
    texts.set(row, text);
  }
  return text;
}

/** The names of the matching rows. `backends` has the search text of a frontend's backends, if loaded. */
export function matchingRows(
  rows: Named<Row>,
  terms: readonly string[],
  flag: Flag | null,
  backends: ReadonlyMap<string, string> = new Map(),
): string[] {
  const names: string[] = [];
  for (const name of Object.keys(rows)) {
    const row = rows[name];
    if (!row || (flag && !row.flags.includes(flag))) continue;
    if (terms.length > 0) {
      const text = rowText(name, row);
      const backendText = backends.get(name) ?? "";
      if (!terms.every((term) => text.includes(term) || backendText.includes(term))) continue;
    }
    names.push(name);
  }
  return names;
}

/** The nodes that need attention and match the filter. */
export function matchingNodes(
  nodes: Named<NodeHeader>,
  terms: readonly string[],
  flag: Flag | null,
): string[] {
  return Object.keys(nodes)
    .filter((name) => {
      const head = nodes[name];
      if (!head) return false;
      if (flag) return head.flags.includes(flag);
      return head.flags.length > 0 || head.suspect.length > 0;
    })
    .filter((name) => {
      const { pod = "", error = "", sync_error = "", not_ready = "", flags = [] } = nodes[name] ?? {};
      const text = [name, pod, error, sync_error, not_ready, ...flags].join("\n").toLowerCase();
      return terms.every((term) => text.includes(term));
    })
    .sort();
}

/** The objects with problems that no row shows. A Frontend's problems are the reason in its row. */
export function matchingProblems(
  problems: Named<ObjectProblems>,
  rows: Named<Row>,
  terms: readonly string[],
  flag: Flag | null,
): string[] {
  if (flag && flag !== "rejected") return [];
  return Object.keys(problems)
    .filter((key) => {
      const problem = problems[key];
      if (problem?.kind === "Frontend" && rows[problem.name]) return false;
      const texts = problem?.problems.flatMap(({ reason, field, message }) => [reason, field, message]) ?? [];
      const text = [key, ...texts].join("\n").toLowerCase();
      return terms.every((term) => text.includes(term));
    })
    .sort();
}
