import { join } from 'node:path';
import type { Plugin, Rolldown } from 'vite';
import { defineConfig } from 'vitest/config';

const source = join(import.meta.dirname, 'src');

/** The library build and the tests in one: each entry point of package.json is one input here. */
export default defineConfig({
  plugins: [workerBesideChunks()],
  build: {
    target: 'es2022',
    minify: false,
    sourcemap: true,
    lib: {
      formats: ['es'],
      entry: {
        index: 'src/index.ts',
        'deflate-worker': 'src/bytes/deflate-worker.ts',
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
      output: { codeSplitting: { groups: chunks() } },
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
 * What lies in one file of `dist/` stays together in whatever is bundled from it: so what is loaded at once lies in few
 * files, and what an `import()` brings in others. A module goes into the first group that it fits: what compressing
 * workers load too; the documents as images need them; the rest of the documents; what configures and saves an image; what
 * packs files; what is needed at once by some and later by others; what reads layers; the rest of the main entry, which
 * itself is left with nothing but names.
 */
function chunks(): Rolldown.CodeSplittingGroup[] {
  const inWorker = reached('bytes/deflate-worker.ts');
  const inMain = reached('index.ts');
  const inImage = reached('image/image.ts', 'layout/save-tarball.ts', 'layer/store-layer.ts', 'bytes/pmap-bounded.ts');
  const inDocuments = reached('oci/index.ts', 'image/best-match.ts');
  const inPacking = reached('layer/pack-files.ts');
  const inReading = reached(
    'image/image-files.ts',
    'image/read-image.ts',
    'image/compare-images.ts',
    'image/merge-layers.ts',
    'image/rename-entries.ts',
  );
  const inOther = reached(
    'image/rewrite-index.ts',
    'layout/archive.ts',
    'layout/docker-archive.ts',
    'layout/map-files.ts',
    'layout/verify.ts',
  );
  const inLater: Test = (id, graph) => inReading(id, graph) || inOther(id, graph);
  const groups: [name: string, ...tests: Test[]][] = [
    ['base', inWorker, inImage],
    ['oci', inDocuments, inImage],
    ['documents', inDocuments],
    ['image', inImage],
    ['packing', inPacking],
    ['shared', inLater, inMain],
    ['reading', inReading],
    ['more', inMain],
  ];
  return groups.map(([name, ...tests], index) => ({
    debugName: name,
    priority: groups.length - index,
    name: (id, graph) =>
      (name === 'base' || !inWorker(id, graph)) && tests.every((test) => test(id, graph)) ? name : null,
  }));
}

type Test = (id: string, graph: Rolldown.ChunkingContext) => boolean;

/** Whether a module is among these, or imported by them at once. */
function reached(...roots: string[]): Test {
  const seen = new Set<string>();
  return (id, graph) => {
    const visit = (module: string): void => {
      if (seen.has(module)) return;
      seen.add(module);
      graph.getModuleInfo(module)?.importedIds.forEach(visit);
    };
    for (const root of roots) visit(join(source, root));
    return id.startsWith(source) && seen.has(id);
  };
}

/**
 * Leaves `new URL('./deflate-worker.ts', import.meta.url)` to whoever bundles the library next, with the name that the
 * script has in `dist/`: beside the chunks, where this and every other bundler finds it. Vite's own treatment of workers
 * writes an absolute path into a library.
 */
function workerBesideChunks(): Plugin {
  const placeholder = '__deflateWorkerScript__';
  return {
    name: 'worker-beside-chunks',
    apply: 'build',
    enforce: 'pre',
    transform(code, id) {
      if (!id.endsWith('/deflate-thread.ts')) return;
      return { code: code.replace(/(?<!from )'\.\/deflate-worker\.ts'/g, placeholder), map: null };
    },
    renderChunk(code, chunk) {
      if (!code.includes(placeholder)) return;
      if (chunk.fileName.includes('/')) this.error(`${chunk.fileName} must lie beside deflate-worker.js`);
      return { code: code.replaceAll(placeholder, "'./deflate-worker.js'"), map: null };
    },
  };
}
