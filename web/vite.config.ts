// Build of the page: one script, one style sheet and stable file names, so that `dist` changes only with the sources.
// URLs are relative, so the page works under any path prefix.
import { defineConfig } from "vite";
import solid from "vite-plugin-solid";

export default defineConfig({
  base: "./",
  plugins: [solid()],
  // `npm run dev` serves only the page. Requests to the API go to a dashboard: `npm run mock`, or a port-forward.
  server: { proxy: { "/api": { target: "http://127.0.0.1:8080", rewrite: (path) => `/view${path}` } } },
  build: {
    target: "es2022",
    modulePreload: false,
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    license: { fileName: "licenses.md" },
    rolldownOptions: {
      output: { entryFileNames: "app.js", assetFileNames: "app[extname]", codeSplitting: false },
    },
  },
});
