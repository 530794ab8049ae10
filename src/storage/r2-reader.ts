/** The body of an object, to its last byte or with a failure. */
import { readChunks } from '../bytes/byte-source.ts';
import { bucketFailed } from './r2-failure.ts';

/**
 * The chunks of a body of `size` bytes, each good until the next is asked for. `path` is for the error.
 *
 * @throws `STORAGE_FAILED`
 */
export async function* wholeBody(
  body: ReadableStream<Uint8Array>,
  size: number,
  path: string,
): AsyncGenerator<Uint8Array, void, void> {
  let length = 0;
  try {
    for await (const chunk of readChunks(body, { reuse: true })) {
      length += chunk.length;
      yield chunk;
    }
    if (length !== size) throw new Error(`the object ended at byte ${length} of ${size}`);
  } catch (error) {
    throw bucketFailed('reading', path, error);
  }
}
