/**
 * Gzip (RFC 1952), one member, by the portable encoder or by the runtime's own. The portable one is the default: its
 * output depends on the bytes and the level only, so that a digest of it is the same in every runtime and release.
 */
import { StowageError } from '../errors.ts';
import { atLeast, readChunks } from './byte-source.ts';
import { crc32 } from './crc32.ts';
import { blockSize, checkLevel, DeflateEncoder, defaultLevel, dictionarySize } from './deflate.ts';
import { letEventsIn } from './event-loop.ts';
import { type NodeCompressor, pump, pumpNode } from './native-compressor.ts';
import { nativeModule } from './runtime.ts';

/** How to compress. */
export interface GzipOptions {
  /**
   * `portable` (default) gives the same bytes in every runtime. `native` is the runtime's own compressor, whose bytes
   * differ from runtime to runtime and from release to release.
   */
  engine?: 'portable' | 'native';
  /** From 0 (stored only) and 1 (fastest) to 9 (smallest). Default 6. */
  level?: number;
  /** Rejects with its reason when aborted. */
  signal?: AbortSignal;
}

/**
 * The chunks, compressed: one gzip member without name or time. Chunks are done with when the next one is asked for;
 * those that come out are new, and hold 64 KiB or more but for the last.
 *
 * @throws `ARGUMENT_INVALID` for an unknown engine or level.
 * @throws `RUNTIME_UNSUPPORTED` where there is no native compressor, or none that takes a level.
 */
export function gzip(chunks: AsyncIterable<Uint8Array>, options: GzipOptions = {}): AsyncIterable<Uint8Array> {
  const { engine = 'portable', level, signal } = options;
  if (level !== undefined) checkLevel(level);
  if (engine === 'portable') return atLeast(portable(readChunks(chunks, { signal }), level ?? defaultLevel, signal));
  if (engine === 'native') return atLeast(withPlainHeader(native(chunks, level, signal)));
  throw new StowageError(
    'ARGUMENT_INVALID',
    `gzip engine ${JSON.stringify(engine)} is not known. Give 'portable' or 'native', or leave it out.`,
    { field: 'engine', actual: engine },
  );
}

/** No flags, no time, no word on the effort, an unknown system. */
const header = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255);

async function* portable(
  chunks: AsyncIterable<Uint8Array>,
  level: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  yield header.slice();
  const encoder = new DeflateEncoder(level);
  const buffer = new Uint8Array(dictionarySize + blockSize);
  let start = 0;
  let end = 0;
  let crc = 0;
  let size = 0;
  const encode = (final: boolean): Uint8Array => {
    crc = crc32(buffer.subarray(start, end), crc);
    size += end - start;
    return encoder.encode(buffer, start, end, final).slice();
  };
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; ) {
      // A full block waits for the next byte: the last one is marked as such.
      if (end - start === blockSize) {
        yield encode(false);
        buffer.copyWithin(0, end - dictionarySize, end);
        start = dictionarySize;
        end = dictionarySize;
        await letEventsIn();
        signal?.throwIfAborted();
      }
      const taken = Math.min(chunk.length - at, start + blockSize - end);
      buffer.set(chunk.subarray(at, at + taken), end);
      end += taken;
      at += taken;
    }
  }
  yield encode(true);
  const trailer = new DataView(new ArrayBuffer(8));
  trailer.setUint32(0, crc, true);
  trailer.setUint32(4, size % 2 ** 32, true);
  yield new Uint8Array(trailer.buffer);
}

interface NodeZlib {
  createGzip?: (options: { level: number; chunkSize: number }) => NodeCompressor;
}

function native(
  chunks: AsyncIterable<Uint8Array>,
  level: number | undefined,
  signal: AbortSignal | undefined,
): AsyncIterable<Uint8Array> {
  const createGzip = nativeModule<NodeZlib>('node:zlib')?.createGzip;
  if (createGzip !== undefined) {
    return pumpNode(chunks, signal, createGzip({ level: level ?? 6, chunkSize: 65536 }));
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
  const { readable, writable } = new CompressionStream('gzip');
  const writer = writable.getWriter();
  return pump(chunks, signal, {
    output: readChunks(readable as ReadableStream<Uint8Array>),
    write: (chunk) => writer.write(chunk),
    close: () => void writer.close().catch(() => {}),
    abort: () => void writer.abort().catch(() => {}),
  });
}

/** Sets the fields of the header that compressors fill each in its own way. */
async function* withPlainHeader(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  let at = 0;
  for await (const chunk of chunks) {
    // A compressor may hand out its header byte by byte.
    for (let index = 0; at < header.length && index < chunk.length; at++, index++) chunk[index] = header[at]!;
    yield chunk;
  }
}
