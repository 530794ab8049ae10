/** Gunzip by the runtime's own zlib, whose silences (ends inside a member, bytes left over) are told as faults. */
import { readChunks } from './byte-source.ts';
import { atLeast } from './chunks.ts';
import { letEventsIn } from './event-loop.ts';
import type { GzipFault } from './gunzip.ts';

/** Bytes that zlib fills before it hands them over. Each turn to its thread and back costs: 64 KiB take 1.3 times as long, 16 KiB, its default, twice. */
const nativeChunkBytes = 524288;

/** Output after which the native engine lets events in: a few milliseconds of work. */
const turnBytes = 1024 ** 2;

/** As much of `node:zlib` as is used here. */
export interface Zlib {
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
export async function* gunzipNatively(
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
