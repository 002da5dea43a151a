// Where in the page one is, and how one gets elsewhere. The address bar is the one place that knows.
import { createSignal } from "solid-js";
import { formatRoute, HOME, parseRoute, toggled, type Route } from "../lib/route";
import type { Flag } from "../sync/contract";
import { lastTab, rememberTab } from "./preferences";

const SETTLE_MS = 300;
let amending: ReturnType<typeof setTimeout> | undefined;

const [place, setPlace] = createSignal<Route>(begin());

/** Where one is. */
export { place };

addEventListener("popstate", () => {
  clearTimeout(amending);
  setPlace(parseRoute(location.hash));
});

// An address without a hash leads to the tab that was open last.
function begin(): Route {
  const tab = lastTab();
  if (location.hash || !tab) return parseRoute(location.hash);
  const route = { ...HOME, node: tab };
  history.replaceState(null, "", formatRoute(route));
  return route;
}

/** Goes to a place; the back button leads back from it. */
export function go(route: Route): void {
  const hash = formatRoute(route);
  if (hash === formatRoute(place())) return;
  settle();
  history.pushState(null, "", hash);
  setPlace(route);
}

// Typing and filtering make no steps for the back button; the address follows when the typing ends, for browsers
// allow but so many changes.
function amend(route: Route): void {
  setPlace(route);
  clearTimeout(amending);
  amending = setTimeout(settle, SETTLE_MS);
}

function settle(): void {
  clearTimeout(amending);
  const hash = formatRoute(place());
  if (hash !== location.hash) history.replaceState(null, "", hash);
}

/** Opens a tab, `null` for all nodes, and remembers it. */
export function openTab(node: string | null): void {
  rememberTab(node ?? "");
  go({ ...HOME, node, query: place().query });
}

/** Opens or closes a frontend. */
export function toggle(frontend: string): void {
  go(toggled(place(), frontend));
}

/** Filters by words. */
export function search(query: string): void {
  amend({ ...place(), query });
}

/** Filters by a count of the strip, or no more if it is the one that filters. */
export function filterBy(flag: Flag): void {
  amend({ ...place(), show: place().show === flag ? null : flag });
}

/** The address of a frontend's row, for links that can be copied. */
export function frontendLink(frontend: string, node: string | null): string {
  return formatRoute({ ...HOME, node, open: [frontend] });
}

/** The address of a backend's page. */
export function backendLink(backend: string): string {
  return formatRoute({ ...HOME, backend });
}

/** The address of a node's tab. */
export function nodeLink(node: string): string {
  return formatRoute({ ...HOME, node });
}
