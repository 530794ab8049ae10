/**
 * A gzip member out of blocks (RFC 1952): the input is cut anew into blocks of one size, each is compressed on its own
 * wherever that is done, and the parts are put together in their order. What cuts a block is its place in the input only.
 */
import { crc32Combine } from './crc32.ts';
import { blockSize, dictionarySize } from './deflate.ts';
import { letEventsIn } from './event-loop.ts';

/** One block of input: `buffer[start, end)`, after up to 32 KiB before `start` that it may refer back to. */
export interface Block {
  buffer: Uint8Array;
  start: number;
  end: number;
  /** The last block of the stream. */
  final: boolean;
}

/** What became of a block: DEFLATE blocks that end on a byte boundary, and the sum over its input. */
export interface CompressedBlock {
  /** May lie in `buffer`. */
  output: Uint8Array;
  crc: number;
  /** The block's buffer, or another of its size, which may be filled anew. */
  buffer: Uint8Array;
}

/** Compresses blocks, some of them at the same time. */
export interface BlockCompressor {
  /** Memory for a block, of so many bytes. */
  allocate(bytes: number): Uint8Array;
  /** Blocks that may be under way at once, 1 or more. May change from call to call. */
  capacity(): number;
  /** The compressor owns the block's buffer until it gives one back. */
  compress(block: Block): Promise<CompressedBlock>;
  /** No more blocks will come; what is still under way is of no use to anyone. */
  close(): void;
}

/** No flags, no time, no word on the effort, an unknown system. */
export const gzipHeader: Uint8Array = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255);

/** The chunks as one gzip member. What comes out must be used or copied before more is asked for. */
export async function* gzipBlocks(
  chunks: AsyncIterable<Uint8Array>,
  compressor: BlockCompressor,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  const pending: { length: number; result: Promise<CompressedBlock> }[] = [];
  const spare: Uint8Array[] = [];
  const allocate = (): Uint8Array => compressor.allocate(dictionarySize + blockSize);
  let buffer = allocate();
  // What readers get: a block may lie in shared memory, which few of them take.
  let output = new Uint8Array(0);
  let start = 0;
  let end = 0;
  let crc = 0;
  let size = 0;
  let isBegun = false;

  const send = (final: boolean): void => {
    const result = compressor.compress({ buffer, start, end, final });
    // Whoever awaits it sees the failure; until then it must not count as unhandled.
    result.catch(() => {});
    pending.push({ length: end - start, result });
  };
  const receive = async (): Promise<Uint8Array> => {
    const { length, result } = pending.shift()!;
    const block = await unlessAborted(result, signal);
    crc = crc32Combine(crc, block.crc, length);
    size += length;
    if (output.length < block.output.length) output = new Uint8Array(block.output.length);
    output.set(block.output);
    spare.push(block.buffer);
    return output.subarray(0, block.output.length);
  };

  try {
    for await (const chunk of chunks) {
      // Not before there is a source to be released by whoever leaves here.
      if (!isBegun) yield gzipHeader.slice();
      isBegun = true;
      for (let at = 0; at < chunk.length; ) {
        // A full block waits for the next byte: the last one is marked as such.
        if (end - start === blockSize) {
          const next = spare.pop() ?? allocate();
          next.set(buffer.subarray(end - dictionarySize, end));
          send(false);
          buffer = next;
          start = dictionarySize;
          end = dictionarySize;
          while (pending.length >= compressor.capacity()) yield await receive();
          // Not every runtime's compressor waits for the event loop, where aborts come from.
          await letEventsIn();
        }
        const taken = Math.min(chunk.length - at, start + blockSize - end);
        buffer.set(chunk.subarray(at, at + taken), end);
        end += taken;
        at += taken;
      }
    }
    if (!isBegun) yield gzipHeader.slice();
    send(true);
    while (pending.length > 0) yield await receive();
    const trailer = new DataView(new ArrayBuffer(8));
    trailer.setUint32(0, crc, true);
    trailer.setUint32(4, size % 2 ** 32, true);
    yield new Uint8Array(trailer.buffer);
  } finally {
    compressor.close();
  }
}

async function unlessAborted<T>(result: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return result;
  signal.throwIfAborted();
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([result, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
