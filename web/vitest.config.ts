// Three kinds of tests: `unit` tests plain functions and the sync of documents, `browser` the page against a mock,
// `sandbox` the page of a cluster that hack/web/sandbox-check has started. `measure` prints figures and asserts nothing.
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

// A test waits up to 60 s for a condition, and for several of them one after another.
const BROWSER_MS = 180_000;
const CLUSTER_MS = 360_000;
const MEASURE_MS = 300_000;

// Vitest's own order depends on earlier runs. A failure that depends on the order of files must be repeatable.
class SortedByName extends BaseSequencer {
  override sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return Promise.resolve([...files].sort((a, b) => (a.moduleId < b.moduleId ? -1 : 1)));
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: SortedByName },
    projects: [
      { test: { name: "unit", include: ["src/**/*.test.ts"] } },
      { test: { name: "measure", include: ["tests/measure.ts"], testTimeout: MEASURE_MS } },
      {
        test: {
          name: "browser",
          include: ["tests/*.test.ts"],
          // One browser at a time: two would compete for the processor.
          fileParallelism: false,
          testTimeout: BROWSER_MS,
          hookTimeout: BROWSER_MS,
        },
      },
      {
        test: {
          name: "sandbox",
          include: ["tests/sandbox/*.test.ts"],
          // All files share one cluster.
          fileParallelism: false,
          testTimeout: CLUSTER_MS,
          hookTimeout: CLUSTER_MS,
        },
      },
    ],
  },
});
