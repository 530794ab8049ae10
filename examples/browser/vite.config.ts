/** Builds and serves the page. In a project of your own, with the package installed, no `alias` is needed. */
import { join } from 'node:path';
import { defineConfig } from 'vite';

const source = join(import.meta.dirname, '../../src');

export default defineConfig({
  root: import.meta.dirname,
  base: './',
  resolve: {
    alias: [
      { find: /^stowage$/, replacement: join(source, 'index.ts') },
      { find: /^stowage\/storage\/opfs$/, replacement: join(source, 'storage/opfs.ts') },
    ],
  },
  // The page's policy forbids what would be written into it.
  build: {
    target: 'es2022',
    outDir: '../../out/browser',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: false,
  },
  worker: { format: 'es' },
  preview: { host: '127.0.0.1', port: 4173 },
});
