/**
 * The body of an object, read into buffers of ours: Cloudflare's runtime gives 4 KiB at a time to who asks for chunks of its choosing, and
 * the objects around so many of them take more memory than the bytes do.
 */
import { readChunks } from '../bytes/byte-source.ts';
import { bucketFailed } from './r2-failure.ts';

const chunkSize = 64 * 1024;

/**
 * The body in chunks of 64 KiB, or a failure where it does not have `size` bytes. With `reuse`, a chunk's bytes
 * are good until the next is asked for, and one buffer does for all. `path` is for the error.
 *
 * @throws `STORAGE_FAILED`
 */
export async function* wholeBody(
  body: ReadableStream<Uint8Array>,
  size: number,
  path: string,
  { reuse = false }: { reuse?: boolean } = {},
): AsyncGenerator<Uint8Array, void, void> {
  let length = 0;
  try {
    const reader = byteReader(body);
    for await (const chunk of reader ? filledBuffers(reader, Math.min(size, chunkSize), reuse) : readChunks(body)) {
      length += chunk.length;
      yield chunk;
    }
    if (length !== size) throw new Error(`the object ended at byte ${length} of ${size}`);
  } catch (error) {
    throw bucketFailed('reading', path, error);
  }
}

/** `undefined` for a stream that reads into no buffer but its own, which a bucket may have that is not Cloudflare's. */
function byteReader(body: ReadableStream<Uint8Array>): ReadableStreamBYOBReader | undefined {
  try {
    return body.getReader({ mode: 'byob' });
  } catch {
    return undefined;
  }
}

async function* filledBuffers(
  reader: ReadableStreamBYOBReader,
  capacity: number,
  reuse: boolean,
): AsyncGenerator<Uint8Array, void, void> {
  let open = true;
  let buffer = new ArrayBuffer(Math.max(capacity, 1));
  try {
    while (open) {
      let filled = 0;
      // Once, where `min` is heeded: it is younger than the rest.
      while (open && filled < buffer.byteLength) {
        const min = buffer.byteLength - filled;
        const { done, value } = await reader.read(new Uint8Array(buffer, filled), { min });
        if (value) buffer = value.buffer;
        filled += value?.byteLength ?? 0;
        open = !done;
      }
      if (filled === 0) return;
      yield new Uint8Array(buffer, 0, filled);
      if (!reuse) buffer = new ArrayBuffer(capacity);
    }
  } finally {
    if (open) await reader.cancel().catch(() => {});
    reader.releaseLock();
  }
}
