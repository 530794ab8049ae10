/** Writing archives: the encoder with entries and their bodies to pull from. */
import { readChunks } from '../bytes/byte-source.ts';
import { TarEncoder } from './encoder.ts';
import type { TarHeader } from './entry.ts';

/** An entry to be written. The body gives exactly `size` bytes; without one, `size` is 0. */
export type TarSource = TarHeader & { body?: Uint8Array | AsyncIterable<Uint8Array> };

/**
 * Writes an archive, in chunks of at least 64 KiB but for the last. Bodies in memory cost no turn of the event loop: an
 * array of thousands of small files is written as fast as the encoder goes. Leaving the loop early releases the entries
 * and the body in hand; an aborted `signal` rejects with its reason.
 *
 * @throws `FILE_INVALID`, `SIZE_MISMATCH` as {@link TarEncoder} does.
 *
 * @example
 * const entry: TarSource = { path: 'hello', type: 'file', size: 2, mode: 0o644, uid: 0, gid: 0, mtime: 0, body };
 * for await (const chunk of writeTar([entry])) await file.write(chunk);
 */
export async function* writeTar(
  entries: Iterable<TarSource> | AsyncIterable<TarSource>,
  options: { signal?: AbortSignal } = {},
): AsyncGenerator<Uint8Array, void, void> {
  const { signal } = options;
  const ready: Uint8Array[] = [];
  const encoder = new TarEncoder((bytes) => ready.push(bytes));
  const iterator = Symbol.asyncIterator in entries ? entries[Symbol.asyncIterator]() : entries[Symbol.iterator]();
  let isOpen = true;
  try {
    for (;;) {
      signal?.throwIfAborted();
      // Only what is a promise is awaited: an await per entry would cost more than encoding it.
      const step = iterator.next();
      isOpen = false;
      const { done, value } = 'then' in step ? await step : step;
      isOpen = !done;
      if (done) break;
      const { body } = value;
      encoder.entry(value);
      if (body !== undefined && Symbol.asyncIterator in body) {
        for await (const chunk of readChunks(body, { signal })) {
          encoder.write(chunk);
          if (ready.length > 0) yield* ready.splice(0);
        }
      } else if (body !== undefined) {
        encoder.write(body);
      }
      if (ready.length > 0) yield* ready.splice(0);
    }
    encoder.finish();
    yield* ready;
  } finally {
    if (isOpen) await iterator.return?.();
  }
}
