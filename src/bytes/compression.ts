/** Tells from the bytes themselves how they are compressed, and undoes it: media types and file names may say anything. */
import { readChunks } from './byte-source.ts';
import { type GunzipOptions, gunzip } from './gunzip.ts';
import { load } from './load.ts';

/** What layers and archives are compressed with. */
export type Compression = 'gzip' | 'zstd' | 'none';

/** The bytes that `compressionOf` wants to see. */
export const magicBytes = 4;

/** How bytes that begin like this are compressed (RFC 1952 section 2.3.1, RFC 8878 section 3.1.1). */
export function compressionOf(beginning: Uint8Array): Compression {
  const [first, second, third, fourth] = beginning;
  if (first === 0x1f && second === 0x8b) return 'gzip';
  if (first === 0x28 && second === 0xb5 && third === 0x2f && fourth === 0xfd) return 'zstd';
  // A zstd file may begin with frames that are to be skipped.
  if (first !== undefined && first >> 4 === 5 && second === 0x2a && third === 0x4d && fourth === 0x18) return 'zstd';
  return 'none';
}

/**
 * Decompresses what is compressed and passes on what is not. It reads the first bytes at once, so `chunks` of the result
 * must be iterated, if only to leave that loop again: this is what releases the source.
 *
 * @throws what `gunzip` and `unzstd` throw, while the result is read.
 */
export async function decompress(
  chunks: AsyncIterable<Uint8Array>,
  options: GunzipOptions = {},
): Promise<{ compression: Compression; chunks: AsyncIterable<Uint8Array> }> {
  const source = readChunks(chunks, { signal: options.signal })[Symbol.asyncIterator]();
  const head: Uint8Array[] = [];
  const beginning = new Uint8Array(magicBytes);
  let length = 0;
  while (length < magicBytes) {
    const { done, value } = await source.next();
    if (done) break;
    beginning.set(value.subarray(0, magicBytes - length), length);
    length += value.length;
    head.push(value);
  }
  const compression = compressionOf(beginning.subarray(0, length));
  const whole = resume(head, source);
  if (compression === 'none') return { compression, chunks: whole };
  if (compression === 'gzip') return { compression, chunks: gunzip(whole, options) };
  // Loaded when needed: whoever has no zstd does not pay for its decoder.
  const { unzstd } = await load(() => import('./unzstd.ts'));
  return { compression, chunks: unzstd(whole, options) };
}

async function* resume(head: Uint8Array[], source: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  try {
    yield* head.splice(0);
    for (;;) {
      const { done, value } = await source.next();
      if (done) return;
      yield value;
    }
  } finally {
    await source.return?.();
  }
}
