// Two rungs of tests: folds and the following of the stream against values, and the page in a browser.
import { defineConfig } from "vitest/config";

const BROWSER_MS = 60_000;

export default defineConfig({
  test: {
    projects: [
      { test: { name: "folds", include: ["src/**/*.test.ts"] } },
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
