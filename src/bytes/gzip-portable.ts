/** Gzip by the portable encoder, on as many threads as are to be had: the part of gzip that is loaded when it is needed. */
import { readChunks } from './byte-source.ts';
import { deflateCompressor } from './deflate-pool.ts';
import { gzipBlocks } from './gzip-blocks.ts';

export { startWorkers } from './deflate-pool.ts';

/** The chunks as one gzip member, whose bytes depend on the input and the level alone. */
export function gzipPortably(
  chunks: AsyncIterable<Uint8Array>,
  level: number,
  workers: number | undefined,
  signal: AbortSignal | undefined,
): AsyncIterable<Uint8Array> {
  return gzipBlocks(readChunks(chunks, { signal }), deflateCompressor(level, workers), signal);
}
