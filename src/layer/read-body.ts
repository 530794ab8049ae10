/** One file's content out of a layer: the layer is read as a stream up to the entry, and no byte of it is held. */
import { readChunks } from '../bytes/byte-source.ts';
import { StowageError } from '../errors.ts';
import type { Limits } from '../limits.ts';
import type { Layer } from './layer.ts';
import { readEntries } from './layer-entries.ts';

export interface ReadBodyOptions {
  /**
   * Whether the rest of the blob is read too, though not decompressed, so that its digest vouches for the content: the
   * last chunk comes only then. Default true.
   */
  verify?: boolean;
  limits?: Partial<Limits>;
  signal?: AbortSignal;
}

/**
 * The content of the entry whose header starts at `offset` of the uncompressed layer.
 *
 * @throws what `layerEntries` throws; `NOT_FOUND` where no entry starts there.
 */
export async function* readBody(
  layer: Layer,
  offset: number,
  options: ReadBodyOptions = {},
): AsyncGenerator<Uint8Array, void, void> {
  const { verify = true, limits, signal } = options;
  const blob = readChunks(await layer.open({ signal }), { signal })[Symbol.asyncIterator]();
  try {
    // Without a `return`, so that the blob outlives the reading of its tar, and can be read to its end behind it.
    const lasting = { [Symbol.asyncIterator]: () => ({ next: () => blob.next() }) };
    let last: Uint8Array | undefined;
    let isFound = false;
    for await (const entry of readEntries(layer.descriptor, lasting, { limits, signal })) {
      if (entry.offset < offset) continue;
      isFound = entry.offset === offset;
      if (!isFound) break;
      for await (const chunk of entry.body) {
        if (last !== undefined) yield last;
        last = chunk;
      }
      break;
    }
    if (!isFound)
      throw new StowageError('NOT_FOUND', `layer ${layer.descriptor.digest}: no entry starts at byte ${offset}.`, {
        offset,
      });
    if (verify) while (!(await blob.next()).done);
    if (last !== undefined) yield last;
  } finally {
    await blob.return?.();
  }
}
