/**
 * A DEFLATE encoder (RFC 1951) whose output is the same in every runtime: it depends on the input and the level, and on
 * nothing else. Synchronous; it works on one block of input at a time and refers back to the 32 KiB before it.
 */
import { checkLevel, defaultLevel } from './compression-level.ts';
import { BlockSplitter } from './deflate/block-splitter.ts';
import { BlockWriter } from './deflate/block-writer.ts';
import { isIncompressible, stretchSize } from './deflate/compressible.ts';
import { MatchFinder } from './deflate/match-finder.ts';
import { windowSize } from './deflate/symbols.ts';
import type { Effort } from './deflate/tokens.ts';

/** Most bytes of one block of input. Part of the output's format: other blocks, other bytes. */
export const blockSize: number = 1024 * 1024;

/** Bytes before a block that it may refer back to. */
export const dictionarySize: number = windowSize;

/** Compresses blocks of input at one level. Holds less than 3 MiB of scratch memory, whatever the input. */
export class DeflateEncoder {
  private readonly effort: Effort | undefined;
  private readonly finder = new MatchFinder(blockSize);
  private readonly splitter = new BlockSplitter();
  // Stored blocks are the worst that comes out: six bytes more for each, and each holds a chunk of 1,024 symbols or more.
  private readonly writer = new BlockWriter(blockSize + (blockSize >> 6));

  /**
   * `level` from 0 (stored only) to 9 (smallest).
   *
   * @throws `ARGUMENT_INVALID` for any other level.
   */
  constructor(level: number = defaultLevel) {
    checkLevel(level);
    this.effort = efforts[level];
  }

  /**
   * The compressed form of `input[start, end)`, at most `blockSize` bytes, after up to 32 KiB before `start`: whole
   * DEFLATE blocks that end on a byte boundary, and with the last block of the stream where `final`. The result is
   * valid until the next call.
   */
  encode(input: Uint8Array, start: number, end: number, final: boolean): Uint8Array {
    const { writer, finder, effort } = this;
    writer.reset();
    if (effort === undefined) {
      writer.stored(input, start, end, final);
      return writer.output.subarray(0, writer.length);
    }
    const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
    let primed = false;
    let aligned = true;
    for (let at = start; at < end; ) {
      const stored = isIncompressible(input, view, at, Math.min(at + stretchSize, end));
      let stop = Math.min(at + stretchSize, end);
      while (stop < end && isIncompressible(input, view, stop, Math.min(stop + stretchSize, end)) === stored) {
        stop = Math.min(stop + stretchSize, end);
      }
      const last = final && stop === end;
      if (stored) {
        writer.stored(input, at, stop, last);
      } else {
        if (!primed) {
          finder.prime(view, Math.max(0, start - windowSize), start, end, effort);
          primed = true;
        }
        const count = finder.search(view, at, stop, effort);
        this.write(input, at, stop, count, effort.chunk, last);
      }
      aligned = stored;
      at = stop;
    }
    if (final) {
      if (start === end) writer.stored(input, end, end, true);
      writer.align();
    } else if (!aligned) writer.stored(input, end, end, false);
    return writer.output.subarray(0, writer.length);
  }

  /** Writes the tokens as blocks, each as long as its symbols stay alike. */
  private write(input: Uint8Array, from: number, to: number, count: number, chunk: number, final: boolean): void {
    const { splitter, writer } = this;
    splitter.begin(input, from, this.finder.tokens, count, chunk);
    while (splitter.next()) writer.compressed(input, this.finder.tokens, splitter, final && splitter.end === to);
  }
}

/**
 * Points on the curve of speed and size, found by sweeps. On one core, Node 20, a tree of 156 MB (programs, libraries,
 * documentation), in MB of input per second of processor time, by turns, and output per input:
 *
 * | level | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 |
 * | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
 * | here | 146 | 131 | 122 | 117 | 114 | 101 | 66 | 59 | 28 |
 * | | .405 | .396 | .388 | .385 | .383 | .380 | .375 | .373 | .370 |
 * | Node's zlib | 110 | 105 | 90 | 83 | 64 | 49 | 41 | 24 | 14 |
 * | | .408 | .400 | .395 | .385 | .377 | .375 | .374 | .373 | .373 |
 */
const efforts: readonly (Effort | undefined)[] = [
  undefined,
  { chain: 0, nice: 0, lazy: 0, good: 0, skip: 5, stride: 8, chunk: 7000 },
  { chain: 0, nice: 0, lazy: 6, good: 0, skip: 5, stride: 8, chunk: 7000 },
  { chain: 0, nice: 0, lazy: 12, good: 0, skip: 6, stride: 6, chunk: 4096 },
  { chain: 0, nice: 0, lazy: 16, good: 0, skip: 6, stride: 3, chunk: 4096 },
  { chain: 0, nice: 0, lazy: 32, good: 0, skip: 6, stride: 2, chunk: 4096 },
  { chain: 0, nice: 0, lazy: 64, good: 0, skip: 7, stride: 1, chunk: 2048 },
  { chain: 8, nice: 32, lazy: 16, good: 8, skip: 7, stride: 1, chunk: 2048 },
  { chain: 16, nice: 128, lazy: 32, good: 8, skip: 7, stride: 1, chunk: 2048 },
  { chain: 256, nice: 258, lazy: 258, good: 32, skip: 12, stride: 1, chunk: 1024 },
];
