/** What layers and archives are compressed with when they are written. */
import { StowageError } from '../errors.ts';
import type { Compression } from './compression.ts';
import { type GzipOptions, gzip } from './gzip.ts';
import { load } from './load.ts';

/** @throws `ARGUMENT_INVALID` */
export function checkCompression(compression: unknown): void {
  if (compression === 'gzip' || compression === 'zstd' || compression === 'none') return;
  throw new StowageError(
    'ARGUMENT_INVALID',
    `compression is ${JSON.stringify(compression)}; give 'gzip', 'zstd' or 'none'.`,
  );
}

/**
 * The chunks, compressed; `options` are gzip's, but for the signal, which counts for all. What comes out is good until the next
 * chunk is asked for.
 *
 * @throws `ARGUMENT_INVALID`, as `gzip` does; `RUNTIME_UNSUPPORTED` while it is read, where the runtime cannot write zstd.
 */
export function compress(
  chunks: AsyncIterable<Uint8Array>,
  compression: Compression,
  options: GzipOptions,
): AsyncIterable<Uint8Array> {
  checkCompression(compression);
  if (compression === 'none') return chunks;
  return compression === 'gzip' ? gzip(chunks, options) : compressWithZstd(chunks, options.signal);
}

async function* compressWithZstd(
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  const { zstd } = await load(() => import('./zstd-native.ts'));
  yield* zstd(chunks, { signal });
}
