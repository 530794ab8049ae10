/**
 * Gzip (RFC 1952), one member, by the portable encoder or by the runtime's own. The portable one is the default: its
 * output depends on the bytes and the level only, so that a digest of it is the same in every runtime and release.
 */
import { StowageError } from '../errors.ts';
import { checkLevel, defaultLevel } from './compression-level.ts';
import { load } from './load.ts';

/** How to compress. */
export interface GzipOptions {
  /**
   * `portable` (default) gives the same bytes in every runtime. `native` is the runtime's own compressor, whose bytes
   * differ from runtime to runtime and from release to release.
   */
  engine?: 'portable' | 'native';
  /** From 0 (stored only) and 1 (fastest) to 9 (smallest). Default 6. */
  level?: number;
  /**
   * Worker threads that the portable engine may use beside the calling one, for input beyond 16 MiB, at about 15 MiB of memory each.
   * Default: one fewer than the machine has cores, at most 8, and none where no workers are to be had; 0 keeps all work on the calling
   * thread. The calling thread compresses as well, unless it draws a page or each core has a worker. The output does not depend on any of
   * this.
   */
  workers?: number;
  /** Rejects with its reason when aborted. */
  signal?: AbortSignal;
}

/**
 * The chunks, compressed: one gzip member without name or time. Chunks are done with when the next one is asked for, and so
 * are those that come out: they lie in buffers that are used again, so whoever keeps one copies it.
 *
 * @throws `ARGUMENT_INVALID` for an unknown engine, a level or a number of workers that cannot be.
 * @throws while it is read: `RUNTIME_UNSUPPORTED` where there is no native compressor, or none that takes a level;
 * `WORKER_FAILED` when a worker dies at its work, as for want of memory.
 */
export function gzip(chunks: AsyncIterable<Uint8Array>, options: GzipOptions = {}): AsyncIterable<Uint8Array> {
  checkGzip(options);
  return compressed(chunks, options);
}

/** @throws `ARGUMENT_INVALID`, as `gzip` does at once. */
export function checkGzip({ engine, level, workers }: GzipOptions): void {
  if (level !== undefined) checkLevel(level);
  if (workers !== undefined) checkWorkers(workers);
  if (engine === undefined || engine === 'portable' || engine === 'native') return;
  throw new StowageError(
    'ARGUMENT_INVALID',
    `gzip engine ${JSON.stringify(engine)} is not known. Give 'portable' or 'native', or leave it out.`,
    { field: 'engine', actual: engine },
  );
}

/** Engines are loaded when the first chunk is asked for: nobody pays for the one that is not used. */
async function* compressed(
  chunks: AsyncIterable<Uint8Array>,
  { engine, level, workers, signal }: GzipOptions,
): AsyncGenerator<Uint8Array, void, void> {
  if (engine === 'native') {
    const { gzipNatively } = await load(() => import('./gzip-native.ts'));
    yield* gzipNatively(chunks, level, signal);
  } else {
    const { gzipPortably } = await load(() => import('./gzip-portable.ts'));
    yield* gzipPortably(chunks, level ?? defaultLevel, workers, signal);
  }
}

function checkWorkers(workers: number): void {
  if (Number.isInteger(workers) && workers >= 0 && workers <= 256) return;
  throw new StowageError(
    'ARGUMENT_INVALID',
    `workers ${String(workers)}: not a number of threads. Give a whole number from 0 to 256, or leave it out.`,
    { field: 'workers', actual: workers },
  );
}
