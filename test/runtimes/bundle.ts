/**
 * The portable tests as one module that a runtime can load from anywhere: `vitest` becomes the harness, fast-check
 * makes fewer runs, and every test file is imported after a line that says its name.
 */
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build, type Plugin } from 'vite';

/** How a bundle talks to whoever started it: by standard output, from a page, or from a Worker's response. */
export type Inside = 'console' | 'page' | 'worker';

/** The checkout. */
export const root: string = resolve(import.meta.dirname, '../..');

/** Where bundles, profiles and runtimes that are fetched go; git ignores it. */
export const cache: string = join(root, '.cache/runtimes');

/** `test/room/subject.test.ts` is portable; `subject.node.test.ts` and its like need what only some runtimes have. */
export function portableTests(): string[] {
  return readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .map((path) => `test/${path.replaceAll('\\', '/')}`)
    .filter((path) => /\/[^/.]+\.test\.ts$/.test(path))
    .sort();
}

/** Bundles the tests around one of the programs of `inside/`, and gives the path of the module. */
export async function bundleSuite(inside: Inside, tests: readonly string[]): Promise<string> {
  const outDir = join(cache, 'bundles', inside);
  await build({
    configFile: false,
    root,
    logLevel: 'warn',
    plugins: [suiteOf(tests)],
    // For test/setup.ts, which may ask for other cases than the usual.
    define: { 'process.env': JSON.stringify({ SEED: process.env.SEED }) },
    resolve: {
      alias: {
        vitest: join(import.meta.dirname, 'harness.ts'),
        // It reads the environment to see whether colours are wanted, which Deno would have to be permitted.
        tinyrainbow: join(import.meta.dirname, 'inside/plain.ts'),
      },
    },
    build: {
      outDir,
      emptyOutDir: true,
      copyPublicDir: false,
      target: 'es2022',
      minify: false,
      modulePreload: false,
      chunkSizeWarningLimit: 100_000,
      rolldownOptions: {
        input: join(import.meta.dirname, 'inside', `${inside}.ts`),
        preserveEntrySignatures: 'strict',
        // The package promises that its modules have no side effects; its tests are nothing else.
        treeshake: false,
        output: { entryFileNames: 'suite.mjs', codeSplitting: false },
      },
    },
  });
  return join(outDir, 'suite.mjs');
}

/** Makes `suite:tests`: modules run in the order of their imports, so each file is announced before it defines its tests. */
function suiteOf(tests: readonly string[]): Plugin {
  const harness = JSON.stringify(join(import.meta.dirname, 'harness.ts'));
  const fastCheck = join(import.meta.dirname, 'inside/fast-check.ts');
  return {
    name: 'suite',
    enforce: 'pre',
    resolveId: (id, importer) => {
      if (id === 'fast-check' && importer !== fastCheck) return fastCheck;
      return id.startsWith('suite:') ? `\0${id}` : undefined;
    },
    load: (id) => {
      if (id === '\0suite:tests') {
        return ['test/setup.ts', ...tests]
          .map((test) => `import ${JSON.stringify(`suite:file:${test}`)};\nimport ${JSON.stringify(join(root, test))};`)
          .join('\n');
      }
      if (!id.startsWith('\0suite:file:')) return undefined;
      return `import { startFile } from ${harness};\nstartFile(${JSON.stringify(id.slice('\0suite:file:'.length))});`;
    },
  };
}
