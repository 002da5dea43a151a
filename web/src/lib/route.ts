// Routes of the page, as the hash of its address:
//   #/                                   all nodes
//   #/frontend/NS/NAME                   all nodes, with this frontend's row open
//   #/backend/NS/NAME                    one backend on all nodes
//   #/node/NODE                          a node's tab
//   #/node/NODE/frontend/NS/NAME         a node's tab, at this frontend's card
// followed by a query: q = words of the filter, show = a count of problems, also = further opened frontends.
import type { Flag } from "../sync/contract";

/** A view of the page. */
export interface Route {
  /** The node whose tab is shown; `null` = all nodes. */
  readonly node: string | null;
  /** The backend whose page is shown. */
  readonly backend: string | null;
  /** Opened frontends, the latest last. */
  readonly open: readonly string[];
  /** Words that rows must contain. */
  readonly query: string;
  /** The count that filters, if any. */
  readonly flag: Flag | null;
}

/** Maximum of opened rows, which is the limit of the stream. */
export const MAX_OPEN = 20;

const FLAGS: readonly Flag[] = ["down", "dropping", "silent", "standby", "disagree", "rejected", "sync"];

/** The tab of all nodes, nothing opened, no filter. */
export const HOME: Route = { node: null, backend: null, open: [], query: "", flag: null };

/** Parses a hash. Unknown parts are ignored. */
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

/** Formats a route as a hash that `parseRoute` accepts. */
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

/** The route after opening `frontend`, or closing it if it is open. */
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
