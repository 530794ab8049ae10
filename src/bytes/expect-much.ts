/** Threads that help to compress, ahead of the bytes that they will compress. */
import type { Compression } from './compression.ts';
import type { GzipOptions } from './gzip.ts';

/**
 * Says that much will be compressed so, once it is known what: until then, threads that help can start. Gives what ends that, to be called
 * when it is compressed.
 */
export function expectMuch(compression: Compression, { engine = 'portable', workers }: GzipOptions): () => void {
  let end: (() => void) | undefined = () => {};
  if (compression === 'gzip' && engine === 'portable') {
    const start = async (): Promise<void> => {
      const { startWorkers } = await import('./gzip-portable.ts');
      if (end) end = startWorkers(workers);
    };
    // What cannot be loaded now is asked for again when it is needed.
    start().catch(() => {});
  }
  return () => {
    end?.();
    end = undefined;
  };
}
