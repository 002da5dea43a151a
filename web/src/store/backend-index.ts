// Who uses which backend, learnt when somebody wants to know it: who filters, or opens a backend's page.
import { createEffect, createSignal, untrack } from "solid-js";
import { bestNode, buildBackendIndex, EMPTY_BACKEND_INDEX } from "../lib/backend-index";
import { browser } from "../sync/browser";
import type { NodeState } from "../sync/contract";
import { now } from "./clock";
import { connection, summary } from "./server-state";
import { route } from "./location";

const MAX_AGE_MS = 30_000;

const [backendIndex, setBackendIndex] = createSignal(EMPTY_BACKEND_INDEX);
let loadedAt = -Infinity;
let loading = false;

/** What is known of it. */
export { backendIndex };

/** Learns it while it is wanted, and anew when it is old. */
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
    const state = (await browser.get(`api/state/${encodeURIComponent(node)}`)) as NodeState;
    setBackendIndex(buildBackendIndex(state));
  } catch {
    // Asked again when it would be old; until then rows are found by what they say themselves.
  }
  loadedAt = untrack(now);
  loading = false;
}
