import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** The library build and the tests in one: each entry point of package.json is one input here. */
export default defineConfig({
  plugins: [workerBesideItsThread()],
  build: {
    target: 'es2022',
    minify: false,
    sourcemap: true,
    lib: {
      formats: ['es'],
      entry: {
        index: 'src/index.ts',
        'bytes/deflate-worker': 'src/bytes/deflate-worker.ts',
        'oci/index': 'src/oci/index.ts',
        'server/index': 'src/server/index.ts',
        'storage/node': 'src/storage/node.ts',
        'storage/opfs': 'src/storage/opfs.ts',
        'storage/r2': 'src/storage/r2.ts',
        'registry/index': 'src/registry/index.ts',
        'node/index': 'src/node/index.ts',
      },
    },
    rolldownOptions: {
      external: [/^node:/, /^fzstd$/, /^@noble\//, /^nanotar$/],
      // A file for each module: whoever bundles the library can leave out, or load later, what lies in a file of its own.
      output: { preserveModules: true, preserveModulesRoot: 'src' },
    },
  },
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});

/**
 * Leaves `new URL('./deflate-worker.ts', import.meta.url)` to whoever bundles the library next, with the name that the
 * script has in `dist/`. Vite's own treatment of workers writes an absolute path into a library.
 */
function workerBesideItsThread(): Plugin {
  const placeholder = '__deflateWorkerScript__';
  return {
    name: 'worker-beside-its-thread',
    apply: 'build',
    enforce: 'pre',
    transform(code, id) {
      if (!id.endsWith('/deflate-thread.ts')) return;
      return { code: code.replace(/(?<!from )'\.\/deflate-worker\.ts'/g, placeholder), map: null };
    },
    renderChunk(code) {
      if (!code.includes(placeholder)) return;
      return { code: code.replaceAll(placeholder, "'./deflate-worker.js'"), map: null };
    },
  };
}
