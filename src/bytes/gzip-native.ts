/** Gzip by the runtime's own compressor: zlib's thread pool where there is Node's module of that name, else the web's stream. */
import { StowageError } from '../errors.ts';
import { readChunks } from './byte-source.ts';
import { crc32 } from './crc32.ts';
import { dictionarySize } from './deflate.ts';
import { type BlockCompressor, gzipBlocks, gzipHeader } from './gzip-blocks.ts';
import { pumpWeb } from './native-compressor.ts';
import { nativeModule, parallelism } from './runtime.ts';

/**
 * The chunks as one gzip member.
 *
 * @throws `RUNTIME_UNSUPPORTED` where there is no native compressor, or none that takes a level.
 */
export function gzipNatively(
  chunks: AsyncIterable<Uint8Array>,
  level: number | undefined,
  signal: AbortSignal | undefined,
): AsyncIterable<Uint8Array> {
  const zlib = nativeModule<Zlib>('node:zlib');
  if (zlib?.deflateRaw !== undefined) {
    return gzipBlocks(readChunks(chunks, { signal }), zlibCompressor(zlib, level ?? 6), signal);
  }
  if (typeof CompressionStream !== 'function') {
    throw new StowageError('RUNTIME_UNSUPPORTED', "This runtime has no gzip of its own. Use { engine: 'portable' }.");
  }
  if (level !== undefined) {
    throw new StowageError(
      'RUNTIME_UNSUPPORTED',
      "This runtime's own gzip takes no level. Leave the level out, or use { engine: 'portable' }.",
      { field: 'level', actual: level },
    );
  }
  return withPlainHeader(pumpWeb(chunks, signal, new CompressionStream('gzip')));
}

interface Zlib {
  constants: { Z_SYNC_FLUSH: number; Z_FINISH: number };
  deflateRaw: (
    bytes: Uint8Array,
    options: { level: number; chunkSize: number; finishFlush: number; dictionary?: Uint8Array },
    done: (error: unknown, output: Uint8Array) => void,
  ) => void;
}

/** Blocks that zlib works on at once: libuv has four threads unless told otherwise. */
const zlibThreads = 4;

function zlibCompressor(zlib: Zlib, level: number): BlockCompressor {
  // One block more than there are cores, so that none waits for the event loop to bring the next.
  const capacity = Math.min(parallelism(), zlibThreads) + 1;
  return {
    allocate: (bytes) => new Uint8Array(bytes),
    capacity: () => capacity,
    compress: ({ buffer, start, end, final }) =>
      new Promise((resolve, reject) => {
        const block = buffer.subarray(start, end);
        const crc = crc32(block);
        const dictionary = start === 0 ? undefined : buffer.subarray(start - dictionarySize, start);
        const finishFlush = final ? zlib.constants.Z_FINISH : zlib.constants.Z_SYNC_FLUSH;
        zlib.deflateRaw(block, { level, chunkSize: 262144, finishFlush, dictionary }, (error, output) => {
          if (error) reject(error);
          else resolve({ output, crc, buffer });
        });
      }),
    close: () => {},
  };
}

/** Sets the fields of the header that compressors fill each in its own way. */
async function* withPlainHeader(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  let at = 0;
  for await (const chunk of chunks) {
    // A compressor may hand out its header byte by byte.
    for (let index = 0; at < gzipHeader.length && index < chunk.length; at++, index++) chunk[index] = gzipHeader[at]!;
    yield chunk;
  }
}
