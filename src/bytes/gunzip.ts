/**
 * Gzip decompression (RFC 1952) as layers need it: streaming, of any number of members (pigz, bgzip and eStargz write
 * thousands), refusing what is damaged, cut short or followed by anything else, and bounded against bombs.
 */
import { StowageError } from '../errors.ts';
import { type Limits, limitExceeded, resolveLimits } from '../limits.ts';
import { atLeast, readChunks } from './byte-source.ts';
import { letEventsIn } from './event-loop.ts';
import { type GzipFault, gunzipPortably } from './gunzip-portable.ts';
import { nativeModule } from './runtime.ts';

/** Options of {@link gunzip}. */
export interface GunzipOptions {
  /** Changes to the bounds `inflatedBytes` and `inflateRatio`. */
  limits?: Partial<Limits>;
  /** Ends it at once, with everything released. */
  signal?: AbortSignal;
  /** The subject of error sentences. Default `the gzip stream`. */
  what?: string;
  /** `native` is zlib, where the runtime has it, and the default there; `portable` runs everywhere. Both refuse and give the same. */
  engine?: 'native' | 'portable';
}

/**
 * Decompresses, chunk by chunk. What has been given out is certain only when the iteration has ended cleanly, for a
 * member's checksum stands behind it. Leaving the loop early, or an error, cancels `chunks`.
 *
 * @throws `GZIP_INVALID` for what is no gzip, is corrupt, is cut short or has anything behind its last member (zeros
 * too), with `offset` in the details: bytes of input, where the native engine gives the beginning of the damaged stretch.
 * @throws `LIMIT_EXCEEDED` past `inflatedBytes`, or past `inflateRatio` once the output is over 1 GiB.
 * @throws `RUNTIME_UNSUPPORTED` for `engine: 'native'` where the runtime has no zlib.
 */
export async function* gunzip(
  chunks: AsyncIterable<Uint8Array>,
  options: GunzipOptions = {},
): AsyncGenerator<Uint8Array, void, void> {
  const { what = 'the gzip stream', signal } = options;
  const limits = resolveLimits(options.limits);
  const zlib = options.engine === 'portable' ? undefined : nativeModule<Zlib>('node:zlib');
  if (options.engine === 'native' && zlib === undefined) {
    throw new StowageError('RUNTIME_UNSUPPORTED', 'This runtime has no zlib of its own. Leave out engine: "native".');
  }
  const fault: GzipFault = (reason, offset) =>
    new StowageError(
      'GZIP_INVALID',
      `${what} ${reason} at byte ${offset}. It was damaged or cut short on its way; fetch or compress it again.`,
      { offset },
    );
  const count = { input: 0 };
  const input = counted(readChunks(chunks, { signal }), count);
  let output = 0;
  const inflated = zlib === undefined ? gunzipPortably(input, fault, signal) : gunzipNatively(zlib, input, fault);
  for await (const chunk of inflated) {
    output += chunk.length;
    if (output > limits.inflatedBytes) throw limitExceeded('inflatedBytes', limits, what, { input: count.input });
    if (output > ratioFrom && output > limits.inflateRatio * count.input) {
      throw limitExceeded('inflateRatio', limits, what, { input: count.input, output });
    }
    yield chunk;
    signal?.throwIfAborted();
  }
}

/** Below this many bytes of output, a ratio does no harm, and honest files of zeros have it. */
const ratioFrom = 1024 ** 3;

/** Bytes that zlib fills before it hands them over. Each turn to its thread and back costs: 64 KiB take 1.3 times as long, 16 KiB, its default, twice. */
const nativeChunkBytes = 524288;

/** Output after which the native engine lets events in: a few milliseconds of work. */
const turnBytes = 1024 ** 2;

interface Zlib {
  createGunzip(options: Record<string, unknown>): NativeGunzip;
}

interface NativeGunzip extends AsyncIterable<Uint8Array> {
  /** Bytes of input used. */
  bytesWritten: number;
  destroyed: boolean;
  readableEnded: boolean;
  write(chunk: Uint8Array, done: () => void): boolean;
  end(): void;
  destroy(error?: unknown): void;
  on(event: 'close' | 'end' | 'error', listener: () => void): void;
}

/** Zlib works on a thread of its own while the consumer works on this one: input is fed beside the reading of output. */
async function* gunzipNatively(
  zlib: Zlib,
  chunks: AsyncIterable<Uint8Array>,
  fault: GzipFault,
): AsyncGenerator<Uint8Array, void, void> {
  const stream = zlib.createGunzip({
    chunkSize: nativeChunkBytes,
    // Buffers are counted, and handed over one by one, instead of joined by copying: two may wait.
    readableObjectMode: true,
    readableHighWaterMark: 2,
  });
  const feed = new Feed(stream, chunks);
  let failed: { error: unknown } | undefined;
  try {
    let sinceTurn = 0;
    for await (const chunk of stream) {
      yield chunk;
      sinceTurn += chunk.length;
      if (sinceTurn < turnBytes) continue;
      // Deno's zlib works on this thread and never waits: without a turn, no timer would come to abort it.
      sinceTurn = 0;
      await letEventsIn();
    }
  } catch (error) {
    failed = { error };
  } finally {
    await feed.stop();
  }
  if (feed.failed !== undefined) throw feed.failed.error;
  if (failed !== undefined) {
    const { code, message } = failed.error as { code?: string; message: string };
    if (code === 'Z_BUF_ERROR') throw fault('ends inside a member', feed.fed);
    throw fault(`is corrupt or followed by something else (${message})`, stream.bytesWritten);
  }
  // Zlib ends without a word where zeros follow a member, and leaves what it did not use.
  if (!feed.ended || stream.bytesWritten < feed.fed) {
    throw fault('is followed by something else than gzip', stream.bytesWritten);
  }
}

/** Writes chunks into zlib, as fast as it takes them: one waits while it works on another, so that it never does. */
class Feed {
  /** Bytes written so far. */
  fed = 0;
  /** All chunks were written. */
  ended = false;
  failed: { error: unknown } | undefined;

  readonly #stream: NativeGunzip;
  readonly #done: Promise<void>;
  /** Ends a read of the source that hangs when the feed is stopped. */
  readonly #interrupt = new AbortController();
  #reading = true;
  /** Chunks that were written and not yet used up. */
  #waiting = 0;
  #wake: () => void = () => {};
  readonly #taken = (): void => {
    this.#waiting--;
    this.#wake();
  };

  constructor(stream: NativeGunzip, chunks: AsyncIterable<Uint8Array>) {
    this.#stream = stream;
    const wake = (): void => this.#wake();
    for (const event of ['close', 'end'] as const) stream.on(event, wake);
    // Errors reach the reader of output. One that comes after the reader has left must not end the process.
    stream.on('error', wake);
    this.#done = this.#run(chunks);
  }

  async #run(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const stream = this.#stream;
    try {
      for await (const chunk of atLeast(readChunks(chunks, { signal: this.#interrupt.signal }))) {
        this.#reading = false;
        this.fed += chunk.length;
        this.#waiting++;
        stream.write(chunk, this.#taken);
        while (this.#waiting > 1 && !this.#closed()) await new Promise<void>((resolve) => (this.#wake = resolve));
        if (this.#closed()) return;
        this.#reading = true;
      }
      this.ended = true;
      stream.end();
    } catch (error) {
      if (this.#interrupt.signal.aborted) return;
      this.failed = { error };
      stream.destroy(error);
    }
  }

  #closed(): boolean {
    return this.#stream.destroyed || this.#stream.readableEnded;
  }

  /** Destroys the stream, and resolves when the source has been released. */
  async stop(): Promise<void> {
    this.#stream.destroy();
    if (this.#reading) this.#interrupt.abort();
    this.#wake();
    await this.#done;
  }
}

async function* counted(
  chunks: AsyncIterable<Uint8Array>,
  count: { input: number },
): AsyncGenerator<Uint8Array, void, void> {
  for await (const chunk of chunks) {
    count.input += chunk.length;
    yield chunk;
  }
}
