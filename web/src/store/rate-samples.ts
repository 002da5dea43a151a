// Samples of the rates on the page, taken every five seconds.
import { createEffect, createMemo, createSignal, on } from "solid-js";
import { RateHistories, SAMPLE_INTERVAL_MS, toSample, type Sample } from "../lib/traffic";
import { node, summary } from "./server-state";

const allNodesHistories = new RateHistories();
const nodeHistories = new RateHistories();
const [sampleCount, setSampleCount] = createSignal(0);
let sampledNode: string | undefined;

/** Starts sampling, with a first sample as soon as the documents are loaded. The result stops it. */
export function startSamples(): () => void {
  const documentsLoaded = createMemo(() => `${summary().value !== undefined} ${node().value?.node ?? ""}`);
  createEffect(on(documentsLoaded, takeSamples));
  const timer = setInterval(takeSamples, SAMPLE_INTERVAL_MS);
  return () => clearInterval(timer);
}

function takeSamples(): void {
  const rows = Object.entries(summary().value?.rows ?? {});
  allNodesHistories.record(rows.map(([name, { rate, dropping }]) => [name, { rate, dropping }]));
  const state = node().value;
  // Samples of another node's tab are dropped.
  if (state?.node !== sampledNode) nodeHistories.record([]);
  sampledNode = state?.node;
  const frontends = Object.entries(state?.frontends ?? {});
  nodeHistories.record(frontends.map(([name, { counters }]) => [name, toSample(counters)]));
  setSampleCount((count) => count + 1);
}

/** The samples of a frontend, on the node of the open tab or over all nodes. */
export function frontendSamples(frontend: string, scope: "node" | "all"): readonly Sample[] {
  sampleCount();
  return [...(scope === "node" ? nodeHistories : allNodesHistories).get(frontend)];
}
