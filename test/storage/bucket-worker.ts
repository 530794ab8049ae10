/** A Worker with an R2 bucket on this machine, as Cloudflare's Miniflare has it. */
import { join } from 'node:path';
import { build } from 'esbuild';
import { Miniflare } from 'miniflare';

/**
 * Bundles a Worker around the suite's harness and starts it with the bucket `BUCKET`, kept in `directory` or in memory. Without
 * Node's modules, unless `nodejs_compat` is among the flags.
 */
export async function startBucketWorker(
  entry: string,
  { directory, flags = [], inspectorPort }: { directory?: string; flags?: string[]; inspectorPort?: number } = {},
): Promise<Miniflare> {
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
  const miniflare = new Miniflare({
    modules: true,
    script: outputFiles[0]!.text,
    compatibilityDate: '2026-01-01',
    compatibilityFlags: flags,
    r2Buckets: { BUCKET: 'stowage-test' },
    r2Persist: directory ?? false,
    inspectorPort,
    host: '127.0.0.1',
    port: 0,
  });
  await miniflare.ready;
  return miniflare;
}
