// Two rungs of tests: folds and the following of the stream against values, and the page in a browser. What is
// measured is no test.
import { defineConfig } from "vitest/config";

const BROWSER_MS = 60_000;
const MEASURE_MS = 300_000;

export default defineConfig({
  test: {
    projects: [
      { test: { name: "folds", include: ["src/**/*.test.ts"] } },
      { test: { name: "measure", include: ["tests/measure.ts"], testTimeout: MEASURE_MS } },
      {
        test: {
          name: "page",
          include: ["tests/**/*.test.ts"],
          // One browser for all; what it measures is not to share the processor.
          fileParallelism: false,
          testTimeout: BROWSER_MS,
          hookTimeout: BROWSER_MS,
        },
      },
    ],
  },
});
