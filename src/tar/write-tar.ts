/** Writing archives: the encoder with entries and their bodies to pull from. */
import { type ByteSource, chunksAtHand, readChunks } from '../bytes/byte-source.ts';
import { StowageError } from '../errors.ts';
import { TarEncoder } from './encoder.ts';
import type { TarHeader } from './entry.ts';

/** An entry to be written. The body gives exactly `size` bytes; without one, `size` is 0. */
export type TarSource = TarHeader & { body?: ByteSource };

/** Entries to be written; of those at hand, some may still have to be waited for. */
export type TarSources = Iterable<TarSource | Promise<TarSource>> | AsyncIterable<TarSource>;

export interface WriteTarOptions {
  signal?: AbortSignal;
  /** A chunk is good until the next is asked for only. Default false: it belongs to whoever asked for it. */
  reuse?: boolean;
  /** Told of each entry when all of it is written. */
  onWritten?: (header: TarHeader) => void;
}

/**
 * Writes an archive, in chunks of at least 64 KiB but for the last. Bodies at hand cost no turn of the event loop: an
 * array of thousands of small files is written as fast as the encoder goes. Leaving the loop early releases the entries
 * and the body in hand; an aborted `signal` rejects with its reason.
 *
 * @throws `FILE_INVALID`, `SIZE_MISMATCH` as {@link TarEncoder} does; `BODY_CONSUMED`, `ARGUMENT_INVALID` for a body that cannot be read.
 *
 * @example
 * const entry: TarSource = { path: 'hello', type: 'file', size: 2, mode: 0o644, uid: 0, gid: 0, mtime: 0, body };
 * for await (const chunk of writeTar([entry])) await file.write(chunk);
 */
export async function* writeTar(
  entries: TarSources,
  options: WriteTarOptions = {},
): AsyncGenerator<Uint8Array, void, void> {
  const { signal, reuse, onWritten } = options;
  const ready: Uint8Array[] = [];
  const encoder = new TarEncoder((bytes) => ready.push(bytes), reuse ? 256 * 1024 : undefined);
  const sources = Symbol.asyncIterator in entries ? entries[Symbol.asyncIterator]() : entries[Symbol.iterator]();
  let isOpen = true;
  let source: TarSource | undefined;
  let body = open([], options);
  try {
    // One loop for entries and their bodies: each place more where an async generator yields is much for a compiler.
    for (let isFinished = false; !isFinished; ) {
      signal?.throwIfAborted();
      // Only what is a promise is awaited: an await per entry would cost more than encoding it.
      if (source === undefined) {
        const step = sources.next();
        isOpen = false;
        const { done, value } = 'then' in step ? await step : step;
        isOpen = !done;
        if (done) {
          encoder.finish();
          isFinished = true;
        } else {
          source = 'then' in value ? await value : value;
          encoder.entry(source);
          body = open(source.body, options);
        }
      } else {
        const step = body.next();
        const { done, value } = 'then' in step ? await step : step;
        if (done) {
          onWritten?.(source);
          source = undefined;
        } else {
          encoder.write(value);
        }
      }
      while (ready.length > 0) {
        const block = ready.shift()!;
        yield block;
        if (reuse) encoder.takeBack(block);
      }
    }
  } catch (error) {
    throw source === undefined ? error : withPath(error, source.path);
  } finally {
    await body.return?.();
    if (isOpen) await sources.return?.();
  }
}

function open(
  body: ByteSource = [],
  { signal, reuse }: WriteTarOptions,
): Iterator<Uint8Array, unknown> | AsyncIterator<Uint8Array, unknown> {
  return chunksAtHand(body, reuse)?.[Symbol.iterator]() ?? readChunks(body, { signal, reuse })[Symbol.asyncIterator]();
}

/** Bodies know nothing of files: what is wrong with one is told with the name of its file. */
export function withPath(error: unknown, path: string): unknown {
  if (!(error instanceof StowageError) || error.details.path !== undefined) return error;
  if (error.code !== 'BODY_CONSUMED' && error.code !== 'ARGUMENT_INVALID') return error;
  const message = `File ${JSON.stringify(path)}: ${error.message}`;
  return new StowageError(error.code, message, { ...error.details, path }, { cause: error });
}
