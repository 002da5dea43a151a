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
  readonly flag: Flag | null;
}

/** How many rows may be opened at once; the stream carries no more. */
export const MAX_OPEN = 20;

const FLAGS: readonly Flag[] = ["down", "dropping", "silent", "standby", "disagree", "rejected", "sync"];

/** The first tab, nothing opened, nothing filtered. */
export const HOME: Route = { node: null, backend: null, open: [], query: "", flag: null };

/** Reads a hash; what it does not know it leaves out. */
export function parseRoute(hash: string): Route {
  const [path = "", search = ""] = hash.replace(/^#/, "").split("?", 2);
  const segments = path.split("/").filter(Boolean).map(decode);
  const query = new URLSearchParams(search);
  const node = segments[0] === "node" ? (segments[1] ?? null) : null;
  const [kind, namespace, name] = node === null ? segments : segments.slice(2);
  const object = namespace && name ? `${namespace}/${name}` : null;
  const also = (query.get("also") ?? "").split(",").filter(Boolean);
  const open = kind === "frontend" && object ? [...also.filter((name) => name !== object), object] : [];
  return {
    node,
    backend: kind === "backend" && node === null ? object : null,
    open: open.slice(-MAX_OPEN),
    query: query.get("q") ?? "",
    flag: FLAGS.find((flag) => flag === query.get("show")) ?? null,
  };
}

/** The hash of a place; `parseRoute` gives it back. */
export function formatRoute(route: Route): string {
  const segments: string[] = [];
  if (route.node !== null) segments.push("node", route.node);
  const last = route.open.at(-1);
  if (route.backend !== null) segments.push("backend", ...route.backend.split("/"));
  else if (last !== undefined) segments.push("frontend", ...last.split("/"));
  const query: string[] = [];
  if (route.query) query.push(`q=${encodeURIComponent(route.query)}`);
  if (route.flag) query.push(`show=${route.flag}`);
  if (route.open.length > 1) query.push(`also=${route.open.slice(0, -1).join(",")}`);
  const search = query.length > 0 ? `?${query.join("&")}` : "";
  return `#/${segments.map(encodeURIComponent).join("/")}${search}`;
}

/** The place after opening `frontend`, or closing it if it is open. */
export function toggleFrontend(route: Route, frontend: string): Route {
  const otherFrontends = route.open.filter((name) => name !== frontend);
  const open =
    otherFrontends.length < route.open.length
      ? otherFrontends
      : [...otherFrontends, frontend].slice(-MAX_OPEN);
  return { ...route, open };
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
