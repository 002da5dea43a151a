// Three rungs of tests: folds and the following of the stream against values, the page in a browser against a mock, and
// against a cluster, which hack/web/sandbox-check starts. What is measured is no test.
import { defineConfig } from "vitest/config";

const BROWSER_MS = 60_000;
const CLUSTER_MS = 120_000;
const MEASURE_MS = 300_000;

export default defineConfig({
  test: {
    projects: [
      { test: { name: "folds", include: ["src/**/*.test.ts"] } },
      { test: { name: "measure", include: ["tests/measure.ts"], testTimeout: MEASURE_MS } },
      {
        test: {
          name: "page",
          include: ["tests/*.test.ts"],
          // One browser for all; what it measures is not to share the processor.
          fileParallelism: false,
          testTimeout: BROWSER_MS,
          hookTimeout: BROWSER_MS,
        },
      },
      {
        test: {
          name: "sandbox",
          include: ["tests/sandbox/*.test.ts"],
          // One cluster for all.
          fileParallelism: false,
          testTimeout: CLUSTER_MS,
          hookTimeout: CLUSTER_MS,
        },
      },
    ],
  },
});
