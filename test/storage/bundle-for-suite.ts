/** A module for a page or a Worker, bundled around the suite's harness. */
import { join } from 'node:path';
import { build } from 'esbuild';

/** The bundle of `entry`, as the text of one module. */
export async function bundleForSuite(entry: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    external: ['node:*'],
    alias: { vitest: join(import.meta.dirname, '../runtimes/harness.ts') },
    ignoreAnnotations: true,
    logLevel: 'error',
  });
  return outputFiles[0]!.text;
}
