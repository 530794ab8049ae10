/** A Worker with an R2 bucket on this machine, as Cloudflare's Miniflare has it. */
import { Miniflare } from 'miniflare';
import { bundleForSuite } from './bundle-for-suite.ts';

/**
 * Bundles a Worker around the suite's harness and starts it with the bucket `BUCKET`, kept in `directory` or in memory. Without
 * Node's modules, unless `nodejs_compat` is among the flags. `secure` makes it speak TLS, with a certificate that nobody signed.
 */
export async function startBucketWorker(
  entry: string,
  { directory, flags = [], secure = false }: { directory?: string; flags?: string[]; secure?: boolean } = {},
): Promise<Miniflare> {
  const miniflare = new Miniflare({
    modules: true,
    script: await bundleForSuite(entry),
    compatibilityDate: '2026-01-01',
    compatibilityFlags: flags,
    r2Buckets: { BUCKET: 'stowage-test' },
    r2Persist: directory ?? false,
    https: secure,
    host: '127.0.0.1',
    port: 0,
  });
  await miniflare.ready;
  return miniflare;
}
