/** Chunks of bytes joined, and cut anew. */

/** The chunks in one array: a new one, but for a single chunk, which is returned as it is. `length` is their sum, where known. */
export function concatBytes(chunks: readonly Uint8Array[], length?: number): Uint8Array {
  if (chunks.length === 1) return chunks[0]!;
  const joined = new Uint8Array(length ?? chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    joined.set(chunk, offset);
    offset += chunk.length;
  }
  return joined;
}

/** Joins small chunks until each has at least `minimum` bytes (default 64 KiB); the last may have fewer. Large ones pass uncopied. */
export async function* atLeast(
  chunks: AsyncIterable<Uint8Array>,
  minimum = 65536,
): AsyncGenerator<Uint8Array, void, void> {
  let pending: Uint8Array | undefined;
  let filled = 0;
  for await (let chunk of chunks) {
    if (filled > 0 || chunk.length < minimum) {
      pending ??= new Uint8Array(minimum);
      const taken = Math.min(chunk.length, minimum - filled);
      pending.set(chunk.subarray(0, taken), filled);
      filled += taken;
      if (filled < minimum) continue;
      yield pending;
      pending = undefined;
      filled = 0;
      chunk = chunk.subarray(taken);
      if (chunk.length < minimum) {
        if (chunk.length > 0) {
          pending = new Uint8Array(minimum);
          pending.set(chunk);
          filled = chunk.length;
        }
        continue;
      }
    }
    yield chunk;
  }
  if (pending !== undefined && filled > 0) yield pending.subarray(0, filled);
}

/**
 * The same bytes in chunks of exactly `size`, but for the last, each an array of its own. The chunk that comes in is done with
 * when the next one is asked for. Arrays of one size leave no gaps between them in memory, where they pass by the thousand.
 */
export async function* inPieces(
  chunks: AsyncIterable<Uint8Array>,
  size: number,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
  let piece = new Uint8Array(size);
  let filled = 0;
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; ) {
      const taken = Math.min(chunk.length - at, size - filled);
      piece.set(chunk.subarray(at, at + taken), filled);
      filled += taken;
      at += taken;
      if (filled < size) continue;
      yield piece;
      piece = new Uint8Array(size);
      filled = 0;
    }
  }
  if (filled > 0) yield piece.slice(0, filled);
}
