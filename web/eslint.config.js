// Lint rules: types used as declared, reactivity used as Solid requires, and nothing that the Content-Security-Policy
// blocks on the page.
import js from "@eslint/js";
import solid from "eslint-plugin-solid/configs/typescript";
import { defineConfig } from "eslint/config";
import ts from "typescript-eslint";

// The types of the plugin are for an older ESLint; its export is a valid configuration.
const reactivity = /** @type {import("eslint").Linter.Config} */ (/** @type {unknown} */ (solid));

export default defineConfig(
  { ignores: ["dist", "node_modules"] },
  js.configs.recommended,
  ...ts.configs.strictTypeChecked,
  { languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } } },
  {
    files: ["src/**/*.{ts,tsx}"],
    ...reactivity,
    rules: {
      ...reactivity.rules,
      "solid/reactivity": "error",
      "no-restricted-syntax": [
        "error",
        {
          selector: "JSXAttribute[name.name='style']",
          message:
            "style attributes are blocked by the Content-Security-Policy: use a class, or setProperty in a ref",
        },
        {
          selector: "JSXAttribute[name.name='innerHTML']",
          message: "names of objects are text, never markup",
        },
      ],
    },
  },
  {
    rules: {
      // TypeScript checks for undefined names.
      "no-undef": "off",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
    },
  },
);
