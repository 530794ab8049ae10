/**
 * Zstandard decompression (RFC 8878) as layers need it: streaming, of any number of frames, skippable ones among them. The
 * frames are read here, bounded and checked (window, sizes, checksum); only the blocks' insides are the runtime's, or `fzstd`'s, which
 * checks none of these, and would go as deep into recursion as there are frames.
 */
import { StowageError } from '../errors.ts';
import { type Limits, limitExceeded, resolveLimits } from '../limits.ts';
import { readChunks } from './byte-source.ts';
import { letEventsIn } from './event-loop.ts';
import { load } from './load.ts';
import { type NodeCompressor, pumpNode } from './native-compressor.ts';
import { isDeno, nativeModule } from './runtime.ts';
import { Xxh64 } from './xxh64.ts';

export interface UnzstdOptions {
  /** Changes to the bounds `inflatedBytes`, `inflateRatio` and `windowBytes`. */
  limits?: Partial<Limits>;
  /** Ends it within one block of 128 KiB, with everything released. */
  signal?: AbortSignal;
  /** The subject of error sentences. Default `the zstd stream`. */
  what?: string;
  /** `native` is the runtime's own decoder for frames of many blocks, where it has one, and the default; `portable` runs everywhere. */
  engine?: 'native' | 'portable';
}

/**
 * Decompresses, in chunks of up to 128 KiB. A frame's checksum stands behind it: what has been given out is certain only
 * when the iteration has ended cleanly.
 *
 * @throws `ZSTD_INVALID` for what is no zstd, is corrupt, cut short, followed by something else, or needs a dictionary.
 * @throws `LIMIT_EXCEEDED` past `inflatedBytes`; `inflateRatio` once the output is over 1 GiB; `windowBytes`.
 */
export async function* unzstd(
  chunks: AsyncIterable<Uint8Array>,
  options: UnzstdOptions = {},
): AsyncGenerator<Uint8Array, void, void> {
  const { what = 'the zstd stream', signal, engine = 'native' } = options;
  const limits = resolveLimits(options.limits);
  const input = new Input(readChunks(chunks, { signal })[Symbol.asyncIterator](), what);
  let output = 0;
  let turnEnd = turnBytes;
  try {
    for (let isFirst = true; isFirst || !(await input.isAtEnd()); isFirst = false) {
      const magic = readWord(await input.take(4), 0);
      if (magic >>> 4 === skippableMagic) {
        await input.skip(readWord(await input.take(4), 0));
        continue;
      }
      if (magic !== frameMagic) throw input.fault(isFirst ? 'is no zstd' : 'is followed by something else', 4);
      const frame = await readFrame(input, limits, what);
      let size = 0;
      for await (const bytes of decodeFrame(input, frame, engine, signal)) {
        size += bytes.length;
        output += bytes.length;
        if (size > frame.contentBytes) throw input.fault('is corrupt', 0);
        if (output > limits.inflatedBytes) throw limitExceeded('inflatedBytes', limits, what, { input: input.offset });
        if (output > ratioFrom && output > limits.inflateRatio * input.offset) {
          throw limitExceeded('inflateRatio', limits, what, { input: input.offset, output });
        }
        yield bytes;
        signal?.throwIfAborted();
        if (output < turnEnd) continue;
        turnEnd = output + turnBytes;
        await letEventsIn();
        signal?.throwIfAborted();
      }
      if (Number.isFinite(frame.contentBytes) && size !== frame.contentBytes) {
        throw input.fault('has a frame that is shorter than it says', 0);
      }
    }
  } finally {
    await input.close();
  }
}

/** The content of one frame, its checksum checked. The runtime's decoder is worth its making for frames of many blocks alone. */
async function* decodeFrame(
  input: Input,
  frame: Frame,
  engine: 'native' | 'portable',
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  const ahead = await readAhead(input, frame);
  const decompress = engine === 'native' && !ahead.at(-1)!.isLast ? nativeZstd() : undefined;
  if (decompress === undefined) {
    yield* decodePortably(input, frame, ahead);
    return;
  }
  let failure: { reason: unknown } | undefined;
  const whole = async function* (): AsyncGenerator<Uint8Array, void, void> {
    try {
      yield plainHeader(frame);
      for (let isLast = false; !isLast; ) {
        const block = ahead.shift() ?? (await readBlock(input, frame));
        isLast = block.isLast;
        yield block.header;
        yield block.body;
      }
      if (frame.hasChecksum) yield await input.take(4);
    } catch (reason) {
      failure = { reason };
      throw reason;
    }
  };
  try {
    yield* pumpNode(whole(), signal, decompress(frame.windowBytes));
  } catch (error) {
    signal?.throwIfAborted();
    // What else fails is the decoder, whose errors each runtime calls by names of its own.
    throw failure === undefined ? input.fault(`is corrupt before (${(error as Error).message})`, 0) : failure.reason;
  }
}

async function* decodePortably(input: Input, frame: Frame, ahead: Block[]): AsyncGenerator<Uint8Array, void, void> {
  const { Decompress } = await load(() => import('fzstd'));
  const decoded: Uint8Array[] = [];
  const decoder = new Decompress((bytes) => void (bytes.length > 0 && decoded.push(bytes)));
  decoder.push(headerFor(Math.min(frame.windowBytes, mostOf(ahead, frame))));
  const hash = frame.hasChecksum ? new Xxh64() : undefined;
  for (let isLast = false; !isLast; ) {
    const block = ahead.shift() ?? (await readBlock(input, frame));
    const { header, body } = block;
    isLast = block.isLast;
    try {
      decoder.push(header);
      decoder.push(body, isLast);
    } catch (error) {
      throw input.fault(`is corrupt (${(error as Error).message})`, body.length);
    }
    for (const bytes of decoded.splice(0)) {
      if (bytes.length > frame.blockBytes) throw input.fault('is corrupt', body.length);
      hash?.update(bytes);
      yield bytes;
    }
  }
  if (hash !== undefined && readWord(await input.take(4), 0) !== hash.digestLow()) {
    throw input.fault('has a frame whose checksum is wrong', 4);
  }
}

/** Makes a decoder of Node's zlib for a window of that many bytes; `undefined` where there is none. */
function nativeZstd(): ((windowBytes: number) => NodeCompressor) | undefined {
  // Deno's (2.9) throws where nobody can catch it when it meets damaged bytes, and so ends the process.
  if (isDeno()) return undefined;
  const zlib = nativeModule<NodeZstd>('node:zlib');
  const create = zlib?.createZstdDecompress;
  const windowLog = zlib?.constants?.ZSTD_d_windowLogMax;
  if (create === undefined || windowLog === undefined) return undefined;
  return (windowBytes) =>
    create({ chunkSize: maximumBlock, params: { [windowLog]: Math.max(10, Math.ceil(Math.log2(windowBytes)) + 1) } });
}

interface NodeZstd {
  constants?: { ZSTD_d_windowLogMax?: number };
  createZstdDecompress?: (options: { chunkSize: number; params: Record<number, number> }) => NodeCompressor;
}

/** What a frame's header says (RFC 8878, section 3.1.1.1). */
interface Frame {
  windowBytes: number;
  /** Infinite where the frame does not say. */
  contentBytes: number;
  /** That a block may have, compressed or not. */
  blockBytes: number;
  hasChecksum: boolean;
}

const frameMagic = 0xfd2fb528;
const skippableMagic = 0x184d2a5;
const maximumBlock = 131072;

/** As with gzip: below it, a ratio does no harm. */
const ratioFrom = 1024 ** 3;

/** Bytes of output between two turns of the event loop: some ten milliseconds. */
const turnBytes = 1024 * 1024;

async function readFrame(input: Input, limits: Limits, what: string): Promise<Frame> {
  const descriptor = (await input.take(1))[0]!;
  if (descriptor & 8) throw input.fault('has a frame of a later version of the format', 1);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!;
  const sizeFlag = descriptor >> 6;
  const sizeBytes = sizeFlag === 0 ? (isSingleSegment ? 1 : 0) : 1 << sizeFlag;
  const windowDescriptor = isSingleSegment ? 0 : (await input.take(1))[0]!;
  const dictionary = await input.take(dictionaryBytes);
  if (dictionary.some((byte) => byte !== 0))
    throw input.fault('needs a dictionary, which no layer may', dictionaryBytes);
  let contentBytes = sizeBytes === 2 ? 256 : 0;
  for (const [index, byte] of (await input.take(sizeBytes)).entries()) contentBytes += byte * 2 ** (8 * index);
  if (sizeBytes === 0) contentBytes = Number.POSITIVE_INFINITY;
  const base = 2 ** (10 + (windowDescriptor >> 3));
  const windowBytes = isSingleSegment ? contentBytes : base + (base / 8) * (windowDescriptor & 7);
  const needed = Math.min(windowBytes, contentBytes);
  if (needed > limits.windowBytes)
    throw limitExceeded('windowBytes', limits, `${what}: a frame's window`, { windowBytes });
  const hasChecksum = (descriptor & 4) !== 0;
  return { windowBytes: needed, contentBytes, blockBytes: Math.min(windowBytes, maximumBlock), hasChecksum };
}

/** One block of a frame (RFC 8878, section 3.1.1.2). */
interface Block {
  header: Uint8Array;
  body: Uint8Array;
  isLast: boolean;
  /** That come of it at most. */
  mostBytes: number;
}

async function readBlock(input: Input, frame: Frame): Promise<Block> {
  const header = await input.take(3);
  const word = header[0]! | (header[1]! << 8) | (header[2]! << 16);
  const type = (word >> 1) & 3;
  const length = word >> 3;
  if (type === 3 || length > frame.blockBytes) throw input.fault('has a block of no valid type or size', 3);
  const body = await input.take(type === 1 ? 1 : length);
  return { header, body, isLast: (word & 1) === 1, mostBytes: type === 2 ? frame.blockBytes : length };
}

/** A frame's first blocks: those of a short frame show that it needs no large window, whatever it says. */
async function readAhead(input: Input, frame: Frame): Promise<Block[]> {
  const blocks: Block[] = [];
  while (blocks.length < 4 && !blocks.at(-1)?.isLast) blocks.push(await readBlock(input, frame));
  return blocks;
}

function mostOf(blocks: readonly Block[], { windowBytes }: Frame): number {
  return blocks.at(-1)!.isLast ? blocks.reduce((sum, block) => sum + block.mostBytes, 0) : windowBytes;
}

/** A header for the decoder that asks for no more memory than the frame can need, and for no checksum. */
function headerFor(windowBytes: number): Uint8Array {
  const header = new Uint8Array(9);
  const view = new DataView(header.buffer);
  view.setUint32(0, frameMagic, true);
  // A single segment, whose size is the window's, in four bytes.
  header[4] = 0xa0;
  view.setUint32(5, Math.max(windowBytes, 1), true);
  return header;
}

/** A header for the runtime's decoder, with a window that is no smaller, and with the checksum, but without the size. */
function plainHeader({ windowBytes, hasChecksum }: Frame): Uint8Array {
  const exponent = Math.max(0, Math.ceil(Math.log2(windowBytes)) - 10);
  return Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, hasChecksum ? 4 : 0, exponent << 3);
}

/** Bytes of the stream by count. */
class Input {
  /** Bytes taken so far. */
  offset = 0;
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #what: string;
  #chunk: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterator<Uint8Array>, what: string) {
    this.#source = source;
    this.#what = what;
  }

  async isAtEnd(): Promise<boolean> {
    if (this.#chunk.length > 0) return false;
    const { done, value } = await this.#source.next();
    if (!done) this.#chunk = value;
    return done === true;
  }

  async take(count: number): Promise<Uint8Array> {
    if (this.#chunk.length >= count) return this.#cut(count);
    const bytes = new Uint8Array(count);
    for (let filled = 0; filled < count; ) {
      if (await this.isAtEnd()) throw this.fault('ends inside a frame', 0);
      const part = this.#cut(Math.min(count - filled, this.#chunk.length));
      bytes.set(part, filled);
      filled += part.length;
    }
    return bytes;
  }

  async skip(count: number): Promise<void> {
    for (let left = count; left > 0; ) {
      if (await this.isAtEnd()) throw this.fault('ends inside a frame', 0);
      left -= this.#cut(Math.min(left, this.#chunk.length)).length;
    }
  }

  /** The error for what began `back` bytes before the place that has been reached. */
  fault(reason: string, back: number): StowageError {
    const offset = this.offset - back;
    return new StowageError(
      'ZSTD_INVALID',
      `${this.#what} ${reason} at byte ${offset}. It was damaged or cut short on its way; fetch or compress it again.`,
      { offset },
    );
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }

  #cut(count: number): Uint8Array {
    const bytes = this.#chunk.subarray(0, count);
    this.#chunk = this.#chunk.subarray(count);
    this.offset += count;
    return bytes;
  }
}

function readWord(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}
