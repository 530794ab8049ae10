/** Feeds a compressor of the runtime's own, and takes what it gives, with its faults and those of its source told apart. */
import { readChunks } from './byte-source.ts';
import { inPieces } from './chunks.ts';
import { letEventsIn } from './event-loop.ts';

/** What bytes go into on one side while they are read on the other. */
interface Compressor {
  output: AsyncIterable<Uint8Array>;
  write(chunk: Uint8Array<ArrayBuffer>): Promise<unknown>;
  close(): void;
  abort(): void;
}

/** Writes the chunks into the compressor while its output is read. What fails on the way in fails the way out, as it is. */
async function* pump(
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
  compressor: Compressor,
): AsyncGenerator<Uint8Array, void, void> {
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(signal?.reason);
  if (signal?.aborted) onAbort();
  signal?.addEventListener('abort', onAbort, { once: true });
  let failure: { reason: unknown } | undefined;
  const fed = feed(readChunks(chunks, { signal: stop.signal }), compressor).catch((reason: unknown) => {
    failure = { reason };
    compressor.abort();
  });
  try {
    for await (const chunk of compressor.output) yield chunk;
    await fed;
  } catch (error) {
    throw failure === undefined ? error : failure.reason;
  } finally {
    signal?.removeEventListener('abort', onAbort);
    stop.abort();
    compressor.abort();
  }
  if (failure !== undefined) throw failure.reason;
}

/** As {@link pump}, for a stream of the web's. */
export function pumpWeb(
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
  { readable, writable }: CompressionStream,
): AsyncIterable<Uint8Array> {
  const writer = writable.getWriter();
  return pump(chunks, signal, {
    output: readChunks(readable as ReadableStream<Uint8Array>),
    write: (chunk) => writer.write(chunk),
    close: () => void writer.close().catch(() => {}),
    abort: () => void writer.abort().catch(() => {}),
  });
}

/** A compressing stream of Node's zlib: as much of it as is used here. */
export interface NodeCompressor extends AsyncIterable<Uint8Array> {
  write(chunk: Uint8Array, done: (error?: unknown) => void): boolean;
  end(): void;
  destroy(): void;
  on(event: 'error', listener: () => void): void;
}

/** As {@link pump}, for a stream of Node's. */
export function pumpNode(
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
  stream: NodeCompressor,
): AsyncIterable<Uint8Array> {
  // Errors reach the reader of output. One that comes after the reader has left must not end the process.
  stream.on('error', () => {});
  return pump(chunks, signal, {
    output: stream,
    write: (chunk) =>
      new Promise<void>((resolve, reject) => void stream.write(chunk, (error) => (error ? reject(error) : resolve()))),
    close: () => stream.end(),
    abort: () => stream.destroy(),
  });
}

/** Two writes are under way at most, each of a buffer of its own: the compressor reads them in its own time. */
async function feed(chunks: AsyncIterable<Uint8Array>, compressor: Compressor): Promise<void> {
  let written: Promise<unknown> = Promise.resolve();
  for await (const piece of inPieces(chunks, 262144)) {
    const before = written;
    written = compressor.write(piece);
    // Whoever awaits it sees the failure; until then it must not count as unhandled.
    written.catch(() => {});
    await before;
    // The compressor may answer without a turn of the event loop, where aborts come from.
    await letEventsIn();
  }
  await written;
  compressor.close();
}
