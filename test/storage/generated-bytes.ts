/** Bytes that nobody holds: a stream of any size out of one buffer, for what is measured where memory is scarce. */

/** `size` bytes, new noise every 4 MiB. A chunk's bytes are good until the next is asked for. */
export async function* generatedBytes(size: number): AsyncGenerator<Uint8Array> {
  const chunk = new Uint8Array(65_536);
  for (let offset = 0; offset < size; offset += chunk.length) {
    if (offset % (64 * chunk.length) === 0) crypto.getRandomValues(chunk);
    yield chunk.subarray(0, Math.min(chunk.length, size - offset));
  }
}
