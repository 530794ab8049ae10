import { defineConfig } from 'vitest/config';

/** The library build and the tests in one: each entry point of package.json is one input here. */
export default defineConfig({
  build: {
    target: 'es2022',
    minify: false,
    sourcemap: true,
    lib: {
      formats: ['es'],
      entry: {
        index: 'src/index.ts',
        'oci/index': 'src/oci/index.ts',
        'server/index': 'src/server/index.ts',
        'storage/node': 'src/storage/node.ts',
        'registry/index': 'src/registry/index.ts',
        'node/index': 'src/node/index.ts',
      },
    },
    rolldownOptions: { external: [/^node:/, /^fzstd$/, /^@noble\//, /^nanotar$/] },
  },
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
