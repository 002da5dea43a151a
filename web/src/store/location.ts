// Where in the page one is, and how one gets elsewhere. The address bar is the one place that knows.
import { createSignal } from "solid-js";
import { formatRoute, HOME, parseRoute, toggleFrontend, type Route } from "../lib/route";
import type { Flag } from "../sync/contract";
import { lastTab, rememberTab } from "./preferences";

const WRITE_DELAY_MS = 300;
let pendingWrite: ReturnType<typeof setTimeout> | undefined;

const [route, setRoute] = createSignal<Route>(initialRoute());

/** Where one is. */
export { route };

addEventListener("popstate", () => {
  clearTimeout(pendingWrite);
  setRoute(parseRoute(location.hash));
});

// An address without a hash leads to the tab that was open last.
function initialRoute(): Route {
  const tab = lastTab();
  if (location.hash || !tab) return parseRoute(location.hash);
  const initial = { ...HOME, node: tab };
  history.replaceState(null, "", formatRoute(initial));
  return initial;
}

/** Goes to a place; the back button leads back from it. */
export function navigate(target: Route): void {
  const hash = formatRoute(target);
  if (hash === formatRoute(route())) return;
  writeAddress();
  history.pushState(null, "", hash);
  setRoute(target);
}

// Typing and filtering make no steps for the back button; the address follows when the typing ends, for browsers
// allow but so many changes.
function amendRoute(target: Route): void {
  setRoute(target);
  clearTimeout(pendingWrite);
  pendingWrite = setTimeout(writeAddress, WRITE_DELAY_MS);
}

function writeAddress(): void {
  clearTimeout(pendingWrite);
  const hash = formatRoute(route());
  if (hash !== location.hash) history.replaceState(null, "", hash);
}

/** Opens a tab, `null` for all nodes, and remembers it. */
export function openTab(node: string | null): void {
  rememberTab(node ?? "");
  navigate({ ...HOME, node, query: route().query });
}

/** Opens or closes a frontend. */
export function toggleFrontendRow(frontend: string): void {
  navigate(toggleFrontend(route(), frontend));
}

/** Filters by words. */
export function setQuery(query: string): void {
  amendRoute({ ...route(), query });
}

/** Filters by a count of the strip, or no more if it is the one that filters. */
export function toggleFlagFilter(flag: Flag): void {
  amendRoute({ ...route(), flag: route().flag === flag ? null : flag });
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
