/** Reading archives: the decoder with a source of bytes to pull from. */
import { readChunks } from '../bytes/byte-source.ts';
import { load } from '../bytes/load.ts';
import { StowageError } from '../errors.ts';
import type { Limits } from '../limits.ts';
import type { TarDecoder } from './decoder.ts';
import type { TarHeader } from './entry.ts';

/** An entry that was read. */
export interface TarEntry {
  header: TarHeader;
  /** Where the entry's header block starts in the archive, in bytes. */
  offset: number;
  /** Where its data starts in the archive; for a sparse file, the data without its holes. */
  bodyOffset: number;
  sparse: boolean;
  /** The content, holes included, as views that must not be written to. Once, and before the next entry is asked for. */
  body: AsyncIterable<Uint8Array>;
}

/**
 * Reads an archive entry by entry. A body that is not read is passed over. After the archive's end the source is read to
 * its own, so that what checks bytes on their way (a digest, a gzip trailer) gets to see all of them. Leaving the loop
 * early releases the source; an aborted `signal` rejects with its reason, even while the source hangs.
 *
 * @throws `TAR_INVALID`, `TAR_TRUNCATED`, `LIMIT_EXCEEDED` as {@link TarDecoder} does.
 * @throws `BODY_CONSUMED` where a body is read twice, or after the next entry was asked for.
 *
 * @example
 * for await (const entry of readTar(chunks)) console.log(entry.header.path, entry.header.size);
 */
export async function* readTar(
  chunks: AsyncIterable<Uint8Array>,
  options: { limits?: Partial<Limits>; signal?: AbortSignal; what?: string } = {},
): AsyncGenerator<TarEntry, void, void> {
  // Loaded when asked for: whoever only writes archives does not pay for what reads them.
  const { TarDecoder } = await load(() => import('./decoder.ts'));
  const decoder = new TarDecoder(options);
  const source = readChunks(chunks, { signal: options.signal })[Symbol.asyncIterator]();
  let isOpen = true;
  const pull = async (): Promise<void> => {
    const { done, value } = await source.next();
    if (!done) {
      decoder.push(value);
      return;
    }
    isOpen = false;
    decoder.end();
  };
  let turn = 0;
  try {
    for (;;) {
      const event = decoder.next();
      if (event === undefined) {
        if (!isOpen) return;
        await pull();
      } else if (event.type === 'entry') {
        const { header, offset, bodyOffset, sparse } = event;
        const mine = ++turn;
        yield { header, offset, bodyOffset, sparse, body: bodyOf(decoder, pull, header.path, () => mine === turn) };
        turn++;
        decoder.skip();
      }
    }
  } finally {
    if (isOpen) await source.return?.();
  }
}

/** One entry's body: it ends with the decoder's `end`, and is void once `isCurrent` says that its turn is over. */
function bodyOf(
  decoder: TarDecoder,
  pull: () => Promise<void>,
  path: string,
  isCurrent: () => boolean,
): AsyncIterable<Uint8Array> {
  let isTaken = false;
  return {
    [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
      if (isTaken || !isCurrent()) throw bodyConsumed(path);
      isTaken = true;
      return readBody(decoder, pull, path, isCurrent);
    },
  };
}

/** By hand rather than as a generator: what is there already takes one turn of the event loop, not three. */
function readBody(
  decoder: TarDecoder,
  pull: () => Promise<void>,
  path: string,
  isCurrent: () => boolean,
): AsyncIterator<Uint8Array> {
  let isOver = false;
  return {
    async next(): Promise<IteratorResult<Uint8Array, undefined>> {
      for (;;) {
        if (isOver) return { done: true, value: undefined };
        if (!isCurrent()) throw bodyConsumed(path);
        const event = decoder.next();
        if (event === undefined) await pull();
        else if (event.type === 'body') return { done: false, value: event.bytes };
        else isOver = true;
      }
    },
    async return(): Promise<IteratorResult<Uint8Array, undefined>> {
      isOver = true;
      return { done: true, value: undefined };
    },
  };
}

function bodyConsumed(path: string): StowageError {
  return new StowageError(
    'BODY_CONSUMED',
    `${JSON.stringify(path)}: its body has been read or passed over. Read it once, before the next entry is asked for.`,
    { path },
  );
}
