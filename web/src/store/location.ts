// The route of the page, stored in the address bar, and navigation.
import { createSignal } from "solid-js";
import { formatRoute, HOME, parseRoute, toggleFrontend, type Route } from "../lib/route";
import type { Flag } from "../sync/contract";
import { lastTab, rememberTab } from "./preferences";

const WRITE_DELAY_MS = 300;
let pendingWrite: ReturnType<typeof setTimeout> | undefined;

const [route, setRoute] = createSignal<Route>(initialRoute());

/** The present route. */
export { route };

addEventListener("popstate", () => {
  clearTimeout(pendingWrite);
  setRoute(parseRoute(location.hash));
});

// An address without a hash opens the tab that was open last.
function initialRoute(): Route {
  const tab = lastTab();
  if (location.hash || !tab) return parseRoute(location.hash);
  const initial = { ...HOME, node: tab };
  history.replaceState(null, "", formatRoute(initial));
  return initial;
}

/** Opens a route as a new entry of the browser's history. */
export function navigate(target: Route): void {
  const hash = formatRoute(target);
  if (hash === formatRoute(route())) return;
  writeAddress();
  history.pushState(null, "", hash);
  setRoute(target);
}

// Typing and filtering add no entries to the history. The address is written after a pause, since browsers limit the
// rate of changes.
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

/** Sets the words of the filter. */
export function setQuery(query: string): void {
  amendRoute({ ...route(), query });
}

/** Filters by a count, or removes that filter. */
export function toggleFlagFilter(flag: Flag): void {
  amendRoute({ ...route(), flag: route().flag === flag ? null : flag });
}

/** Link to a frontend. */
export function frontendLink(frontend: string, node: string | null): string {
  return formatRoute({ ...HOME, node, open: [frontend] });
}

/** Link to a backend's page. */
export function backendLink(backend: string): string {
  return formatRoute({ ...HOME, backend });
}

/** Link to a node's tab. */
export function nodeLink(node: string): string {
  return formatRoute({ ...HOME, node });
}
