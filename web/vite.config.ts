// SPDX-License-Identifier: Apache-2.0
import { defineConfig } from "vite";

export default defineConfig({
  // Relative addresses: the server may stand behind a proxy that adds a path.
  base: "./",
  build: {
    outDir: "../src/veilset/review/client",
    emptyOutDir: true,
    target: "es2022",
    // The page's policy allows no data: addresses for styles, and no inline script.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 300,
    // MIT asks for its notice in every copy, and the bundle has none.
    license: { fileName: "licences.txt" },
  },
});
