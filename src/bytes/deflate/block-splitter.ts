/** Where one DEFLATE block ends and the next begins: where codes of their own save more than they cost to send. */

import { distanceSlots, distanceSymbols, endOfBlock, lengthSlots, literalSymbols } from './symbols.ts';

/** What the codes of one block more are reckoned to cost, in bits. */
const headerBits = 640;

/** Cuts the tokens into blocks, one after the other, and counts the symbols of each. */
export class BlockSplitter {
  /** How often each symbol of literals and lengths occurs in the block, its end among them. */
  readonly literals: Int32Array = new Int32Array(literalSymbols);
  readonly distances: Int32Array = new Int32Array(distanceSymbols);
  /** The block's tokens are those from `first` to `last`, for the input from `start` to `end`. */
  first = 0;
  last = 0;
  start = 0;
  end = 0;

  private input: Uint8Array = new Uint8Array(0);
  private tokens: Int32Array = new Int32Array(0);
  private count = 0;
  private chunkSymbols = 0;
  /** The chunk that was counted last; it ends at token `at`, byte `position`. */
  private readonly chunkLiterals = new Int32Array(literalSymbols);
  private readonly chunkDistances = new Int32Array(distanceSymbols);
  private at = 0;
  private position = 0;
  private readonly literalCost = new Cost();
  private readonly distanceCost = new Cost();

  /**
   * Begins with tokens `[0, count)` for the input from `from` on. So many symbols as `chunkSymbols`, 7,000 at most, stay
   * together and are counted together.
   */
  begin(input: Uint8Array, from: number, tokens: Int32Array, count: number, chunkSymbols: number): void {
    this.input = input;
    this.tokens = tokens;
    this.count = count;
    this.chunkSymbols = chunkSymbols;
    this.last = 0;
    this.end = from;
    this.at = 0;
    this.position = from;
    this.countChunk();
  }

  /** Goes to the next block; `false` behind the last one. */
  next(): boolean {
    const { literals, distances, chunkLiterals, chunkDistances, literalCost, distanceCost } = this;
    this.first = this.last;
    this.start = this.end;
    if (this.first === this.count) return false;
    literals.fill(0);
    distances.fill(0);
    literalCost.reset();
    distanceCost.reset();
    let blockBits = 0;
    for (;;) {
      const chunkBits = literalCost.measure(chunkLiterals, literals) + distanceCost.measure(chunkDistances, distances);
      const joinedBits = literalCost.joinedBits + distanceCost.joinedBits;
      if (this.last > this.first && blockBits + chunkBits + headerBits < joinedBits) break;
      literalCost.join(chunkLiterals, literals);
      distanceCost.join(chunkDistances, distances);
      blockBits = joinedBits;
      this.last = this.at;
      this.end = this.position;
      if (this.at === this.count) break;
      this.countChunk();
    }
    literals[endOfBlock] = 1;
    return true;
  }

  private countChunk(): void {
    // Locals and numbers for what modules share, as in the search: see tokens.ts, also for what a token is.
    const { input, tokens, chunkLiterals, chunkDistances } = this;
    const lengths = lengthSlots;
    const slots = distanceSlots;
    const count = this.count | 0;
    chunkLiterals.fill(0);
    chunkDistances.fill(0);
    let position = this.position | 0;
    let index = this.at | 0;
    let left = this.chunkSymbols | 0;
    while (index < count && left > 0) {
      const token = tokens[index++]!;
      const run = token >>> 24;
      left -= run + 1;
      for (const end = position + run; position < end; position++) {
        const byte = input[position]!;
        chunkLiterals[byte] = chunkLiterals[byte]! + 1;
      }
      const distance = (token & 0xffff) - 1;
      if (distance < 0) continue;
      const length = (token >>> 16) & 255;
      const lengthSymbol = 257 + lengths[length]!;
      chunkLiterals[lengthSymbol] = chunkLiterals[lengthSymbol]! + 1;
      const slot = slots[distance < 256 ? distance : 256 + (distance >> 7)]!;
      chunkDistances[slot] = chunkDistances[slot]! + 1;
      position += length + 3;
    }
    this.at = index;
    this.position = position;
  }
}

/** What ideal codes for one alphabet of a growing block would need, in bits to 2^-16. */
class Cost {
  /** For the block and the chunk that was measured last, in one. */
  joinedBits = 0;
  private sum = 0;
  private weighted = 0;
  private joinedSum = 0;
  private joinedWeighted = 0;

  reset(): void {
    this.sum = 0;
    this.weighted = 0;
  }

  /** The bits for the chunk by itself. */
  measure(chunk: Int32Array, block: Int32Array): number {
    let sum = 0;
    let weighted = 0;
    let added = 0;
    for (let symbol = 0; symbol < chunk.length; symbol++) {
      const inChunk = chunk[symbol]!;
      if (inChunk === 0) continue;
      const inBlock = block[symbol]!;
      const inBoth = inBlock + inChunk;
      sum += inChunk;
      weighted += inChunk * logarithms[inChunk]!;
      added += inBoth * logarithm(inBoth) - inBlock * logarithm(inBlock);
    }
    this.joinedSum = this.sum + sum;
    this.joinedWeighted = this.weighted + added;
    this.joinedBits = this.joinedSum * logarithm(this.joinedSum) - this.joinedWeighted;
    return sum * logarithm(sum) - weighted;
  }

  /** Adds the chunk that was measured last to the block. */
  join(chunk: Int32Array, block: Int32Array): void {
    for (let symbol = 0; symbol < chunk.length; symbol++) block[symbol] = block[symbol]! + chunk[symbol]!;
    this.sum = this.joinedSum;
    this.weighted = this.joinedWeighted;
  }
}

const tableBits = 13;

/**
 * Base 2 logarithms below 2^13, cut to multiples of 2^-16. Engines differ in the last bits of `Math.log2`; here that makes no difference,
 * to block boundaries neither: those of powers of two apart, none comes within 10^-4 of a multiple.
 */
const logarithms = new Float64Array(1 << tableBits);
for (let number = 1; number < logarithms.length; number++) {
  logarithms[number] = Math.floor(Math.log2(number) * 65536 + 1e-5) / 65536;
}

function logarithm(number: number): number {
  if (number < 1 << tableBits) return logarithms[number]!;
  const shift = 32 - tableBits - Math.clz32(number);
  return shift + logarithms[number >>> shift]!;
}
