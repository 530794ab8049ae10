/**
 * Bytes in every shape in which people hold them, read in one way: an `AsyncIterable` of `Uint8Array`. Inside the
 * library bytes move as such iterables; WHATWG streams stand at its edge only, because each hop through one costs.
 */
import { StowageError } from '../errors.ts';
import { defaultLimits, type Limits, limitExceeded } from '../limits.ts';
import { concatBytes } from './chunks.ts';
import { load } from './load.ts';
import { nativeModule } from './runtime.ts';

/**
 * Bytes, in memory or to come. A string stands for its UTF-8. Bytes in memory, a `Blob` and an array of chunks can be
 * read again and again; a stream or a generator only once (`BODY_CONSUMED` the second time).
 */
export type ByteSource =
  | Uint8Array
  | ArrayBuffer
  | string
  | Blob
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>
  | Iterable<Uint8Array>;

/** The source's size in bytes where that is known without reading it, else `undefined`; also where reading it will be refused. */
export function byteLength(source: ByteSource): number | undefined {
  if (typeof source === 'string') return new TextEncoder().encode(source).length;
  if (isBytes(source)) return isTransferred(source.buffer) ? undefined : source.length;
  if (isArrayBuffer(source)) return isTransferred(source) ? undefined : source.byteLength;
  if (isBlob(source)) return source.size;
  if (Array.isArray(source) && source.every((chunk) => isBytes(chunk) && !isTransferred(chunk.buffer))) {
    return source.reduce((sum: number, chunk: Uint8Array) => sum + chunk.length, 0);
  }
  return undefined;
}

/**
 * Reads a source chunk by chunk. Chunks come as the source gives them, never split nor joined, without the empty ones.
 * Reading begins with the first chunk that is asked for; leaving the loop early cancels the source. Errors of the source
 * itself pass through as they are. An aborted `signal` ends even a read that hangs, at once, with `signal.reason`.
 *
 * With `reuse`, a chunk is good until the next is asked for only: a stream that can read into a given buffer then needs no second one, nor
 * does a file.
 *
 * @throws `BODY_CONSUMED` where a stream is locked or was read before, or an iterator was.
 * @throws `ARGUMENT_INVALID` for a source of another kind, or one that gives something other than `Uint8Array`s, or arrays whose
 * buffer was transferred.
 */
export function readChunks(source: ByteSource, options: ReadOptions = {}): AsyncIterable<Uint8Array> {
  return { [Symbol.asyncIterator]: () => start(source, options) };
}

/**
 * Under this name, an iterable that is made here may hold another way to read the same, into memory that is used again: buffers that pass by
 * the thousand have V8 collect its whole heap every few tens of MB.
 */
export const reusing: unique symbol = Symbol('reusing');

/** How chunks are read. */
export interface ReadOptions {
  signal?: AbortSignal;
  /** Default false: each chunk belongs to whoever asked for it. */
  reuse?: boolean;
}

/**
 * Whether this runtime reads into the reader's buffers best, as Cloudflare's does: there a body of `fetch` or R2 comes in 4 KiB at a time to who
 * brings none. In Node that takes a tenth more time than it saves.
 */
export function readsIntoBuffers(): boolean {
  return typeof ReadableStreamBYOBReader === 'function' && 'readAtLeast' in ReadableStreamBYOBReader.prototype;
}

/**
 * The whole source in one array, which is the source itself where that is one already. A source past `maximum` bytes
 * (default: no bound) is refused before more than that is held.
 *
 * @throws `LIMIT_EXCEEDED` past `maximum`, naming the field `limit` of {@link Limits} (default `bufferedBytes`); `what` is
 * the subject of its sentence.
 */
export async function readBytes(
  source: ByteSource,
  options: { maximum?: number; limit?: keyof Limits; what?: string; signal?: AbortSignal } = {},
): Promise<Uint8Array> {
  const { maximum = Number.POSITIVE_INFINITY, limit = 'bufferedBytes', what = 'a body', signal } = options;
  signal?.throwIfAborted();
  const refuse = (length: number): void => {
    if (length > maximum) throw limitExceeded(limit, { ...defaultLimits, [limit]: maximum }, what, { size: length });
  };
  refuse(byteLength(source) ?? 0);
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of readChunks(source, { signal })) {
    length += chunk.length;
    refuse(length);
    chunks.push(chunk);
  }
  return concatBytes(chunks, length);
}

/**
 * The chunks as a WHATWG stream, for the library's edge. Nothing is read ahead: each chunk is fetched when it is asked
 * for, and cancelling ends the iteration, so that whatever feeds it is released. A generator that has not begun has no
 * `finally` to run: `unread` is called where the stream is cancelled before anything was asked for, to release what it would read.
 */
export function toStream(
  chunks: AsyncIterable<Uint8Array>,
  unread: () => unknown = () => {},
): ReadableStream<Uint8Array> {
  let iterator: AsyncIterator<Uint8Array> | undefined;
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        iterator ??= chunks[Symbol.asyncIterator]();
        for (;;) {
          const { done, value } = await iterator.next();
          if (done) return controller.close();
          if (value.length > 0) return controller.enqueue(value);
        }
      },
      async cancel() {
        if (iterator === undefined) await unread();
        iterator ??= chunks[Symbol.asyncIterator]();
        await iterator.return?.();
      },
    },
    { highWaterMark: 0 },
  );
  origins.set(stream, () => {
    checkUnread(stream);
    const reader = stream.getReader();
    const unlock = (): void => reader.releaseLock();
    const taken = chunks[Symbol.asyncIterator]();
    // Whoever asks the stream later learns that it has ended.
    iterator = taken;
    let begun = false;
    return {
      next() {
        begun = true;
        const next = taken.next();
        next.then(({ done }) => done && unlock(), unlock);
        return next;
      },
      async return(value) {
        unlock();
        if (!begun) await unread();
        await taken.return?.();
        return { done: true, value };
      },
    };
  });
  return stream;
}

/**
 * What the streams made here are made of. Whoever reads one within the library takes its chunks from where they come: for a blob on its way
 * from a registry to a disk, the hop through the stream is a twentieth of the time.
 */
const origins = new WeakMap<object, () => AsyncIterator<Uint8Array>>();

/** Lets go of a source that is not wanted. What it thinks of that is of no concern. */
export async function releaseSource(source: ByteSource): Promise<void> {
  const { cancel, return: close } = Object(source) as { cancel?: () => unknown; return?: () => unknown };
  try {
    if (typeof cancel === 'function') await cancel.call(source);
    else if (typeof close === 'function') await close.call(source);
  } catch {
    // Nobody waits for its bytes.
  }
}

/** One-shot sources that were read here: a finished stream or generator would look like an empty one the second time. */
const consumed = new WeakSet<object>();

function start(source: ByteSource, options: ReadOptions): AsyncGenerator<Uint8Array, void, void> {
  const atHand = chunksAtHand(source, options.reuse);
  if (atHand !== undefined) return fromIterable(atHand, options.signal);
  if (isBlob(source)) return fromStream(source.stream(), options);
  if (isStream(source) && !origins.has(source)) return fromStream(source, options);
  return fromAsyncIterable(wayToRead(source, options.reuse), options.signal);
}

function wayToRead(source: ByteSource, reuse: boolean | undefined): ByteSource {
  return (reuse && (Object(source) as { [reusing]?: ByteSource })[reusing]) || source;
}

/**
 * The chunks, as {@link readChunks} would give them, of a source that never has to be waited for: bytes in memory, and what is iterated
 * without promises. `undefined` for any other.
 *
 * @throws while they are read, as `readChunks` does.
 */
export function chunksAtHand(source: ByteSource, reuse?: boolean): Iterable<Uint8Array> | undefined {
  if (typeof source === 'string') return checked([new TextEncoder().encode(source)]);
  if (isBytes(source)) return checked([source]);
  if (isArrayBuffer(source)) return checked([isTransferred(source) ? source : new Uint8Array(source)]);
  const { [Symbol.iterator]: iterate, [Symbol.asyncIterator]: later } = Object(source) as Partial<
    Iterable<unknown> & AsyncIterable<unknown>
  >;
  if (iterate === undefined || later !== undefined) return undefined;
  return checked(wayToRead(source, reuse) as Iterable<unknown>);
}

function* checked(source: Iterable<unknown>): Generator<Uint8Array, void, void> {
  const iterator = source[Symbol.iterator]();
  checkIterator(iterator, source);
  for (const chunk of { [Symbol.iterator]: () => iterator }) {
    if (checkChunk(chunk).length > 0) yield chunk as Uint8Array;
  }
}

async function* fromIterable(
  chunks: Iterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  signal?.throwIfAborted();
  for (const chunk of chunks) {
    yield chunk;
    signal?.throwIfAborted();
  }
}

async function* fromStream(
  stream: ReadableStream<Uint8Array>,
  options: ReadOptions,
): AsyncGenerator<Uint8Array, void, void> {
  const { signal } = options;
  checkUnread(stream);
  if (readsIntoBuffers()) {
    const { readByteStream } = await load(() => import('./byte-stream.ts'));
    const chunks = readByteStream(stream, options);
    if (chunks !== undefined) return yield* chunks;
  }
  const reader = stream.getReader();
  const cancel = (reason?: unknown): Promise<void> => reader.cancel(reason).catch(() => {});
  // A cancelled stream answers a pending read at once, whatever its source does: no race with the signal is needed.
  const onAbort = (): void => void cancel(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  let open = true;
  try {
    signal?.throwIfAborted();
    for (;;) {
      const { done, value } = await reader.read();
      signal?.throwIfAborted();
      if (done) {
        open = false;
        return;
      }
      if (checkChunk(value).length > 0) yield value;
      signal?.throwIfAborted();
    }
  } finally {
    signal?.removeEventListener('abort', onAbort);
    if (open) {
      // Awaited, so that the source is released when the loop has been left; but an abort waits for nobody.
      const cancelled = cancel(signal?.reason);
      if (!signal?.aborted) await cancelled;
    }
    reader.releaseLock();
  }
}

async function* fromAsyncIterable(
  source: ByteSource,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  const iterator = openIterator(source);
  let open = true;
  let interrupt: (reason: unknown) => void = () => {};
  const onAbort = (): void => interrupt(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    signal?.throwIfAborted();
    for (;;) {
      open = false; // An iterator that throws, or that hangs when aborted, has no `return` to be awaited.
      const next = iterator.next();
      const { done, value } = await (signal === undefined
        ? next
        : new Promise<IteratorResult<Uint8Array, unknown>>((resolve, reject) => {
            interrupt = reject;
            Promise.resolve(next).then(resolve, reject);
          }));
      if (done) return;
      open = true;
      signal?.throwIfAborted();
      if (checkChunk(value).length > 0) yield value as Uint8Array;
      signal?.throwIfAborted();
    }
  } finally {
    signal?.removeEventListener('abort', onAbort);
    if (signal?.aborted) void Promise.resolve(iterator.return?.()).catch(() => {});
    else if (open) await iterator.return?.();
  }
}

function openIterator(source: unknown): AsyncIterator<Uint8Array> {
  const taken = origins.get(source as object)?.();
  if (taken) return taken;
  const iterator = (Object(source) as Partial<AsyncIterable<Uint8Array>>)[Symbol.asyncIterator]?.();
  if (iterator === undefined) {
    throw new StowageError(
      'ARGUMENT_INVALID',
      `${describe(source)} is no source of bytes. Give a Uint8Array, ArrayBuffer, string, Blob, ReadableStream or iterable of Uint8Array.`,
    );
  }
  checkIterator(iterator, source);
  return iterator;
}

/** Only what is its own iterator (a generator) is spent by reading; an array or a collection begins anew. */
function checkIterator(iterator: object, source: unknown): void {
  if (iterator !== source) return;
  if (consumed.has(iterator)) throw bodyConsumed('iterator');
  consumed.add(iterator);
}

/** Marks a stream that nobody has begun to read as taken. */
function checkUnread(stream: ReadableStream<Uint8Array>): void {
  if (stream.locked || consumed.has(stream) || isDisturbed(stream)) throw bodyConsumed('stream');
  consumed.add(stream);
}

function checkChunk(chunk: unknown): Uint8Array {
  if (isBytes(chunk) && !isTransferred(chunk.buffer)) return chunk;
  throw new StowageError(
    'ARGUMENT_INVALID',
    `A source of bytes gave ${isBytes(chunk) ? 'what was transferred' : describe(chunk)}, where each chunk must be a Uint8Array. Encode text with TextEncoder first; copy what is to be transferred as well.`,
  );
}

/**
 * Whether a buffer went to somebody else (by `postMessage`, into a stream of bytes). It looks like an empty one then, and its bytes would be
 * missing without a word. Runtimes that do not know `detached` tell by refusing a view.
 */
function isTransferred(buffer: ArrayBufferLike): boolean {
  try {
    return buffer.byteLength === 0 && !new Uint8Array(buffer);
  } catch {
    return true;
  }
}

function bodyConsumed(kind: 'stream' | 'iterator'): StowageError {
  return new StowageError(
    'BODY_CONSUMED',
    `This ${kind} is locked or was read before, so its bytes are gone. Give a new one, or a Blob, which can be read again.`,
  );
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  return typeof value === 'object' ? Object.prototype.toString.call(value) : `a ${typeof value}`;
}

/**
 * Whether somebody read from a stream and let go of it. In public only the fetch standard asks that question, of a body; but Node's
 * `Response` is loaded when it is first named, which takes 20 ms, so Node is asked by its own call.
 */
function isDisturbed(stream: ReadableStream): boolean {
  nativeAnswer ??= findNativeAnswer();
  if (nativeAnswer) return nativeAnswer(stream);
  try {
    new Response(stream);
    return false;
  } catch {
    return true;
  }
}

let nativeAnswer: ((stream: unknown) => boolean) | false | undefined;

/** Node's call, where it tells the truth: Deno's answers no for every stream of the web. */
function findNativeAnswer(): ((stream: unknown) => boolean) | false {
  const answer = nativeModule<{ isDisturbed?: (stream: unknown) => boolean }>('node:stream')?.isDisturbed;
  const probe = new ReadableStream();
  probe.cancel();
  return answer?.(probe) === true && answer;
}

// By what they can do rather than by `instanceof`, which fails for what comes from another realm (a frame, a test's sandbox).
function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array || Object.prototype.toString.call(value) === '[object Uint8Array]';
}

function isArrayBuffer(value: unknown): value is ArrayBuffer {
  return value instanceof ArrayBuffer || Object.prototype.toString.call(value) === '[object ArrayBuffer]';
}

function isBlob(value: unknown): value is Blob {
  const { stream, size } = Object(value) as Partial<Blob>;
  return typeof stream === 'function' && typeof size === 'number';
}

function isStream(value: unknown): value is ReadableStream<Uint8Array> {
  return typeof (Object(value) as Partial<ReadableStream>).getReader === 'function';
}
