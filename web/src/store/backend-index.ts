// The frontends of each backend, loaded when the filter or a backend's page needs them.
import { createEffect, createSignal, untrack } from "solid-js";
import { bestNode, buildBackendIndex, EMPTY_BACKEND_INDEX } from "../lib/backend-index";
import { browser } from "../sync/browser";
import type { NodePage } from "../sync/contract";
import { now } from "./clock";
import { connection, summary } from "./server-state";
import { route } from "./location";

const MAX_AGE_MS = 30_000;

const [backendIndex, setBackendIndex] = createSignal(EMPTY_BACKEND_INDEX);
let loadedAt = -Infinity;
let loading = false;

/** The loaded index. */
export { backendIndex };

/** Loads the index while it is needed, and reloads it when it is old. */
export function loadBackendIndex(): void {
  createEffect(() => {
    const needed = route().node === null && (route().query !== "" || route().backend !== null);
    if (!needed || connection() !== "live" || now() - loadedAt < MAX_AGE_MS || loading) return;
    const node = bestNode(untrack(summary).value?.nodes ?? {});
    if (node !== undefined) void load(node);
  });
}

async function load(node: string): Promise<void> {
  loading = true;
  try {
    const state = (await browser.get(`api/state/${encodeURIComponent(node)}`)) as NodePage;
    setBackendIndex(buildBackendIndex(state));
  } catch {
    // Retried at the next reload. Until then rows are found by their own text.
  }
  loadedAt = untrack(now);
  loading = false;
}
