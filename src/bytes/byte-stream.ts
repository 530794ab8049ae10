/**
 * Bytes read into buffers of the reader's own (BYOB). One buffer does for a whole blob then, where a reader that is given a new one for each
 * chunk leaves garbage behind: V8 lets 64 MiB of dead ArrayBuffers pile up before it looks, half of what a Worker of the edge may take.
 */
import type { ReadOptions } from './byte-source.ts';

/** Documents are small: they are not to hold on to more than this. */
const firstBytes = 4096;
const chunkBytes = 65536;

/** As `readChunks`, of a byte stream; `undefined` for any other, which is still unlocked then. */
export function readByteStream(
  stream: ReadableStream<Uint8Array>,
  options: ReadOptions,
): AsyncGenerator<Uint8Array, void, void> | undefined {
  let reader: ReadableStreamBYOBReader;
  try {
    reader = stream.getReader({ mode: 'byob' });
  } catch {
    return undefined;
  }
  return filledBuffers(reader, options);
}

async function* filledBuffers(
  reader: ReadableStreamBYOBReader,
  { signal, reuse = false }: ReadOptions,
): AsyncGenerator<Uint8Array, void, void> {
  const cancel = (reason?: unknown): Promise<void> => reader.cancel(reason).catch(() => {});
  const onAbort = (): void => void cancel(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  let buffer = new ArrayBuffer(firstBytes);
  let isOpen = true;
  try {
    while (isOpen) {
      let filled = 0;
      // Once, where `min` is heeded: it is younger than the rest.
      while (isOpen && filled < buffer.byteLength) {
        signal?.throwIfAborted();
        const rest = new Uint8Array(buffer, filled);
        const { done, value } = await reader.read(rest, { min: rest.length });
        signal?.throwIfAborted();
        isOpen = !done;
        // Without one it was cancelled.
        if (value !== undefined) buffer = value.buffer;
        filled += value?.length ?? 0;
      }
      if (filled > 0) yield new Uint8Array(buffer, 0, filled);
      signal?.throwIfAborted();
      if (!reuse || buffer.byteLength < chunkBytes) buffer = new ArrayBuffer(chunkBytes);
    }
  } finally {
    signal?.removeEventListener('abort', onAbort);
    // A stream that was aborted is cancelled already, and waits for nobody.
    if (isOpen) await cancel();
    reader.releaseLock();
  }
}

/**
 * As `toStream`, into the buffers that the reader brings, or new ones of 64 KiB. Chunks are copied, and may use one buffer for all: to hand the
 * reader's own on, from stream to stream, would leave as many dead ones behind as there are chunks.
 */
export function toByteStream(
  chunks: AsyncIterable<Uint8Array>,
  unread: () => unknown = () => {},
  signal?: AbortSignal,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  let iterator: AsyncIterator<Uint8Array> | undefined;
  let chunk = new Uint8Array(0) as Uint8Array;
  return new ReadableStream({
    type: 'bytes',
    autoAllocateChunkSize: chunkBytes,
    async pull(controller) {
      // What is left of a large chunk needs no source that would tell.
      signal?.throwIfAborted();
      iterator ??= chunks[Symbol.asyncIterator]();
      const request = controller.byobRequest!;
      const { buffer, byteOffset, byteLength } = request.view!;
      const target = new Uint8Array(buffer, byteOffset, byteLength);
      let filled = 0;
      while (filled < target.length) {
        if (chunk.length === 0) {
          const { done, value } = await iterator.next();
          if (done) break;
          chunk = value;
        }
        const part = chunk.subarray(0, target.length - filled);
        target.set(part, filled);
        filled += part.length;
        chunk = chunk.subarray(part.length);
      }
      if (filled === 0) controller.close();
      request.respond(filled);
    },
    async cancel() {
      if (iterator === undefined) await unread();
      iterator ??= chunks[Symbol.asyncIterator]();
      await iterator.return?.();
    },
  });
}
