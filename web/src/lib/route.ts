// Where in the page one is, as the hash of its address:
//   #/                                   all nodes
//   #/frontend/NS/NAME                   all nodes, with this frontend's row opened
//   #/backend/NS/NAME                    one backend on all nodes
//   #/node/NODE                          a node's tab
//   #/node/NODE/frontend/NS/NAME         a node's tab, at this frontend's card
// A query follows: q = words to filter by, show = a count of the strip, also = further opened frontends.
import type { Flag } from "../sync/contract";

/** A place in the page. */
export interface Route {
  /** The node whose tab is shown; `null` = all nodes. */
  readonly node: string | null;
  /** The backend whose page is shown. */
  readonly backend: string | null;
  /** Opened frontends, the one opened last at the end. */
  readonly open: readonly string[];
  /** The words that rows must contain. */
  readonly query: string;
  /** The count of the strip that filters, if one does. */
  readonly show: Flag | null;
}

/** How many rows may be opened at once; the stream carries no more. */
export const MOST_OPEN = 20;

const FLAGS: readonly Flag[] = ["down", "dropping", "silent", "standby", "disagree", "rejected", "sync"];

/** The first tab, nothing opened, nothing filtered. */
export const HOME: Route = { node: null, backend: null, open: [], query: "", show: null };

/** Reads a hash; what it does not know it leaves out. */
export function parseRoute(hash: string): Route {
  const [path = "", search = ""] = hash.replace(/^#/, "").split("?", 2);
  const words = path.split("/").filter(Boolean).map(decoded);
  const query = new URLSearchParams(search);
  const node = words[0] === "node" ? (words[1] ?? null) : null;
  const [kind, namespace, name] = node === null ? words : words.slice(2);
  const object = namespace && name ? `${namespace}/${name}` : null;
  const also = (query.get("also") ?? "").split(",").filter(Boolean);
  const open = kind === "frontend" && object ? [...also.filter((other) => other !== object), object] : [];
  return {
    node,
    backend: kind === "backend" && node === null ? object : null,
    open: open.slice(-MOST_OPEN),
    query: query.get("q") ?? "",
    show: FLAGS.find((flag) => flag === query.get("show")) ?? null,
  };
}

/** The hash of a place; `parseRoute` gives it back. */
export function formatRoute(route: Route): string {
  const words: string[] = [];
  if (route.node !== null) words.push("node", route.node);
  const last = route.open.at(-1);
  if (route.backend !== null) words.push("backend", ...route.backend.split("/"));
  else if (last !== undefined) words.push("frontend", ...last.split("/"));
  const query: string[] = [];
  if (route.query) query.push(`q=${encodeURIComponent(route.query)}`);
  if (route.show) query.push(`show=${route.show}`);
  if (route.open.length > 1) query.push(`also=${route.open.slice(0, -1).join(",")}`);
  const search = query.length > 0 ? `?${query.join("&")}` : "";
  return `#/${words.map(encodeURIComponent).join("/")}${search}`;
}

/** The place after opening `frontend`, or closing it if it is open. */
export function toggled(route: Route, frontend: string): Route {
  const others = route.open.filter((name) => name !== frontend);
  const open = others.length < route.open.length ? others : [...others, frontend].slice(-MOST_OPEN);
  return { ...route, open };
}

function decoded(word: string): string {
  try {
    return decodeURIComponent(word);
  } catch {
    return word;
  }
}
