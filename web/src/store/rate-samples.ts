// Samples the rates of what is on the page every five seconds.
import { createEffect, createMemo, createSignal, on } from "solid-js";
import { Histories, SAMPLE_MS, sampleOf, type Sample } from "../lib/traffic";
import { node, summary } from "./server-state";

const overAll = new Histories();
const onNode = new Histories();
const [taken, setTaken] = createSignal(0);
let of: string | undefined;

/** Starts sampling, with what is there first; the result ends it. */
export function startSamples(): () => void {
  const begun = createMemo(() => `${summary().value !== undefined} ${node().value?.node ?? ""}`);
  createEffect(on(begun, take));
  const timer = setInterval(take, SAMPLE_MS);
  return () => clearInterval(timer);
}

function take(): void {
  const rows = Object.entries(summary().value?.rows ?? {});
  overAll.record(rows.map(([name, { rate, dropping }]) => [name, { rate, dropping }]));
  const state = node().value;
  // The samples of another tab are of no use here.
  if (state?.node !== of) onNode.record([]);
  of = state?.node;
  const frontends = Object.entries(state?.frontends ?? {});
  onNode.record(frontends.map(([name, { counters }]) => [name, sampleOf(counters)]));
  setTaken((count) => count + 1);
}

/** The samples of a frontend: on one node's tab, or over all nodes. */
export function samplesOf(frontend: string, where: "node" | "all"): readonly Sample[] {
  taken();
  return [...(where === "node" ? onNode : overAll).of(frontend)];
}
