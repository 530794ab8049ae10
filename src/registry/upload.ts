/** A blob on its way into a registry: in one request where it is small, else streamed where it can be read again, else in chunks. */
import { type ByteSource, readChunks } from '../bytes/byte-source.ts';
import { type Hasher, hasherFor, verifyChunks } from '../bytes/hash.ts';
import { StowageError } from '../errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { type Digest, parseDigest } from '../oci/digest.ts';
import { announcedSize, blobUrl } from './download.ts';
import type { Registry } from './registry.ts';
import { pauseBefore, Transient } from './retry.ts';
import { repositoryScope } from './scope.ts';
import { StreamRefused, UploadLost, UploadSession } from './session.ts';

export interface UploadOptions {
  /** A session that is open already. */
  session?: UploadSession;
  signal?: AbortSignal;
}

/** How many bytes a blob has in the repository, or of a blob whose size is not told `NaN`; `undefined` where it is not there. */
export async function blobSize(
  registry: Registry,
  name: string,
  digest: Digest,
  signal?: AbortSignal,
): Promise<number | undefined> {
  const url = blobUrl(registry, name, digest);
  const scopes = [repositoryScope(name, 'pull')];
  const { status, headers } = await registry.call({ method: 'HEAD', url, scopes, accept: [200, 404], signal });
  return status === 404 ? undefined : (announcedSize(headers) ?? Number.NaN);
}

/**
 * Uploads a blob. What is known by digest and size and can be read again (anything but a stream or a generator) is streamed. Of other blobs two chunks are in
 * memory at most, one on its way while the next is read. An upload that is lost is begun anew where the body can be read again.
 *
 * @throws `DIGEST_MISMATCH`, `SIZE_MISMATCH` before anything is stored.
 */
export async function uploadBlob(
  registry: Registry,
  name: string,
  body: ByteSource,
  expected: Partial<Descriptor>,
  options: UploadOptions = {},
): Promise<{ digest: Digest; size: number }> {
  let { session } = options;
  const { digest, size = 0 } = expected;
  let isStreamed =
    digest !== undefined && size > Math.min(streamedSize, registry.chunkSize) && isRepeatable(body, expected);
  for (let failures = 0; ; session = undefined) {
    try {
      if (isStreamed && registry.streamUploads) {
        const whole = { digest: digest!, size };
        if (await uploadStreamed(registry, name, body, whole, { ...options, session })) return whole;
        isStreamed = false;
        continue;
      }
      return await uploadOnce(registry, name, body, expected, { ...options, session });
    } catch (error) {
      if (!(error instanceof UploadLost)) throw error;
      if (!isRepeatable(body, expected)) throw error.failure;
      await pauseBefore(new Transient(error.failure), failures++, registry.retrying, options.signal);
    }
  }
}

/** From here on a request more costs less than holding the blob in memory. */
const streamedSize = 1024 * 1024;

/** All in one request, and after a fault what had not arrived in another. False where the registry takes nothing in that way. */
async function uploadStreamed(
  registry: Registry,
  name: string,
  body: ByteSource,
  whole: { digest: Digest; size: number },
  options: UploadOptions,
): Promise<boolean> {
  const { digest, size } = whole;
  const upload = following(options.signal);
  const { signal } = upload;
  let { session } = options;
  let reading = following(signal);
  const from = (offset: number): AsyncIterable<Uint8Array> => {
    reading.abort(new Error('it is read anew'));
    reading = following(signal);
    return verifiedFrom(offset, readChunks(body, { signal: reading.signal }), whole, reading, upload);
  };
  let done = false;
  try {
    session ??= (await UploadSession.open(registry, name, { digest, signal })) as UploadSession;
    await session.send({ size, from: (offset) => () => from(offset) }, signal);
    await close(registry, name, session, whole, signal);
    done = true;
    return true;
  } catch (error) {
    signal.throwIfAborted();
    const isRefusal = error instanceof StowageError && refusals.includes(error.details.status as number);
    if (isRefusal) registry.streamUploads = false;
    if (!isRefusal && !(error instanceof StreamRefused)) throw error;
    return false;
  } finally {
    if (!done) {
      upload.abort(new Error('the upload has failed'));
      const cancelled = session?.cancel();
      if (!options.signal?.aborted) await cancelled;
    }
    reading.release();
    upload.release();
  }
}

/** Checked from the start each time: the last chunk is not given before the digest is known to be right. What is wrong ends the upload. */
async function* verifiedFrom(
  offset: number,
  chunks: AsyncIterable<Uint8Array>,
  whole: { digest: Digest; size: number },
  reading: Following,
  upload: Following,
): AsyncGenerator<Uint8Array, void, void> {
  let left = offset;
  try {
    for await (const chunk of verifyChunks(chunks, whole, `blob ${whole.digest}`)) {
      const skipped = Math.min(chunk.length, left);
      left -= skipped;
      if (skipped < chunk.length) yield skipped === 0 ? chunk : chunk.subarray(skipped);
    }
  } catch (error) {
    if (!reading.signal.aborted) upload.abort(error);
    throw error;
  }
}

/** A signal that ends with another, or before it. */
interface Following {
  readonly signal: AbortSignal;
  abort(reason: unknown): void;
  /** Follows no more. */
  release(): void;
}

function following(other: AbortSignal | undefined): Following {
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(other?.reason);
  if (other?.aborted) onAbort();
  else other?.addEventListener('abort', onAbort, { once: true });
  return {
    signal: controller.signal,
    abort: (reason) => controller.abort(reason),
    release: () => other?.removeEventListener('abort', onAbort),
  };
}

/** Statuses of those who want to know a body's length, or take none so long. */
const refusals: readonly number[] = [400, 405, 411, 413, 415, 501];

async function uploadOnce(
  registry: Registry,
  name: string,
  body: ByteSource,
  expected: Partial<Descriptor>,
  options: UploadOptions,
): Promise<{ digest: Digest; size: number }> {
  let { session } = options;
  // Ends the reading when the sending fails, and the other way round.
  const upload = following(options.signal);
  const { signal } = upload;
  const algorithm = expected.digest === undefined ? 'sha256' : parseDigest(expected.digest).algorithm;
  const source = new Source(body, expected, await hasherFor(algorithm), signal);
  let done = false;
  try {
    options.signal?.throwIfAborted();
    let chunk = new Chunk(expected.size);
    await source.fill(chunk, session?.chunkSize() ?? registry.chunkSize);
    if (source.ended) {
      const whole = source.finish();
      await putWhole(registry, name, chunk.bytes, whole.digest, { session, signal });
      done = true;
      return whole;
    }
    session ??= (await UploadSession.open(registry, name, { digest: expected.digest, signal })) as UploadSession;
    const size = session.chunkSize();
    await source.fill(chunk, size);
    let next = new Chunk(expected.size);
    for (;;) {
      const { bytes } = chunk;
      const sending = session.send({ size: bytes.length, from: (offset) => bytes.subarray(offset) }, signal);
      if (source.ended) {
        await sending;
        break;
      }
      await Promise.all([sending, source.fill(next, size)]);
      [chunk, next] = [next, chunk];
      next.clear();
    }
    const whole = source.finish();
    await close(registry, name, session, whole, signal);
    done = true;
    return whole;
  } finally {
    upload.release();
    if (!done) {
      upload.abort(options.signal?.aborted ? options.signal.reason : new Error('the upload has failed'));
      const cancelled = session?.cancel();
      await source.close();
      if (!options.signal?.aborted) await cancelled;
    }
  }
}

/** All in one request; safe to repeat, with a session of its own each time, as it is all in memory. */
async function putWhole(
  registry: Registry,
  name: string,
  bytes: Uint8Array,
  digest: Digest,
  options: UploadOptions,
): Promise<void> {
  const { signal } = options;
  let { session } = options;
  for (let failures = 0; ; session = undefined) {
    session ??= (await UploadSession.open(registry, name, { digest, signal })) as UploadSession;
    try {
      return await session.close(digest, bytes, signal);
    } catch (error) {
      const cancelled = session.cancel();
      await pauseBefore(
        error instanceof UploadLost ? new Transient(error.failure) : error,
        failures++,
        registry.retrying,
        signal,
      );
      await cancelled;
      if ((await blobSize(registry, name, digest, signal)) === bytes.length) return;
    }
  }
}

/** Closes a session of chunks. Whether a PUT that got no answer was heard is seen by the blob. */
async function close(
  registry: Registry,
  name: string,
  session: UploadSession,
  { digest, size }: { digest: Digest; size: number },
  signal: AbortSignal,
): Promise<void> {
  for (let failures = 0; ; ) {
    try {
      return await session.close(digest, undefined, signal);
    } catch (error) {
      if (error instanceof UploadLost && failures === 0) throw error;
      const failure = error instanceof UploadLost ? new Transient(error.failure) : error;
      await pauseBefore(failure, failures++, registry.retrying, signal);
      if ((await blobSize(registry, name, digest, signal)) === size) return;
      if (error instanceof UploadLost) throw error;
    }
  }
}

/** The body, hashed and measured as it is read. */
class Source {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #expected: Partial<Descriptor>;
  readonly #hasher: Hasher;
  #size = 0;
  #pending: Uint8Array = new Uint8Array(0);
  /** True once there is no byte beyond what `fill` gave. */
  ended = false;

  constructor(body: ByteSource, expected: Partial<Descriptor>, hasher: Hasher, signal: AbortSignal) {
    this.#expected = expected;
    this.#hasher = hasher;
    this.#chunks = readChunks(body, { signal })[Symbol.asyncIterator]();
  }

  /** Fills up to `size` bytes, and looks whether there are more. */
  async fill(chunk: Chunk, size: number): Promise<void> {
    for (;;) {
      this.#pending = chunk.append(this.#pending, size);
      if (this.#pending.length > 0 || this.ended) return;
      const { done, value } = await this.#chunks.next();
      if (done) {
        this.ended = true;
        return;
      }
      this.#size += value.length;
      const { size: expected } = this.#expected;
      if (expected !== undefined && this.#size > expected) throw this.#wrongSize('more than that');
      this.#hasher.update(value);
      this.#pending = value;
    }
  }

  /** What was read. Throws where it is not what was expected. */
  finish(): { digest: Digest; size: number } {
    const { digest: expected, size } = this.#expected;
    if (size !== undefined && this.#size !== size) throw this.#wrongSize(`${this.#size}`);
    const digest = this.#hasher.digest();
    if (expected === undefined || digest === expected) return { digest, size: this.#size };
    throw new StowageError(
      'DIGEST_MISMATCH',
      `Expected blob ${expected}, but its bytes have the digest ${digest}. Nothing was stored; fetch it anew.`,
      { expected, actual: digest },
    );
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  #wrongSize(actual: string): StowageError {
    const { digest, size } = this.#expected;
    return new StowageError(
      'SIZE_MISMATCH',
      `${digest ?? 'The blob'}: expected ${size} bytes, got ${actual}. Nothing was stored.`,
      { digest, expected: size, actual: this.#size },
    );
  }
}

/** A buffer that grows with what it holds, and is used again. */
class Chunk {
  #buffer: Uint8Array<ArrayBuffer>;
  #filled = 0;

  constructor(expected: number | undefined) {
    this.#buffer = new Uint8Array(Math.min(expected ?? 65536, 256 * 1024));
  }

  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#filled);
  }

  clear(): void {
    this.#filled = 0;
  }

  /** Takes what fits into `size` bytes, and gives back the rest. */
  append(bytes: Uint8Array, size: number): Uint8Array {
    const taken = Math.min(bytes.length, size - this.#filled);
    const needed = this.#filled + taken;
    if (needed > this.#buffer.length) {
      const grown = new Uint8Array(Math.min(size, Math.max(needed, this.#buffer.length * 2)));
      grown.set(this.bytes);
      this.#buffer = grown;
    }
    this.#buffer.set(bytes.subarray(0, taken), this.#filled);
    this.#filled = needed;
    return bytes.subarray(taken);
  }
}

/** Whether the body gives the same bytes again. Of an iterable only a known digest can tell: Node's streams look like one, and are read once. */
function isRepeatable(body: ByteSource, expected: Partial<Descriptor>): boolean {
  if (typeof body === 'string' || ArrayBuffer.isView(body) || body instanceof ArrayBuffer || Array.isArray(body))
    return true;
  const { getReader, stream } = body as Partial<ReadableStream & Blob>;
  if (typeof getReader === 'function') return false;
  if (typeof stream === 'function') return true;
  const iterable = body as Partial<AsyncIterable<Uint8Array> & Iterable<Uint8Array>>;
  const iterator: unknown = iterable[Symbol.asyncIterator]?.() ?? iterable[Symbol.iterator]?.();
  return expected.digest !== undefined && iterator !== body;
}
