/** DEFLATE blocks (RFC 1951, section 3.2.3): tokens in, bits out, each block in the cheapest of its three forms. */
import { setCanonicalCodes, setCodeLengths } from './huffman.ts';
import {
  codeLengthOrder,
  distanceExtraBits,
  distanceSlots,
  distanceSymbols,
  endOfBlock,
  lengthBases,
  lengthExtraBits,
  lengthSlots,
  literalSymbols,
  storedMaximum,
} from './symbols.ts';

/**
 * Longest codes that are given out, in bits. The format allows 15; these keep a length with its extra bits, and a
 * distance with its, within 25 bits, so that either fits the 32-bit buffer beside up to 7 bits that wait there.
 */
const literalLimit = 12;
const distanceLimit = 11;
const codeLengthLimit = 7;

/** Literals and lengths of the fixed codes, with the two that no block may use. */
const fixedSymbols = 288;

/** A block's tokens, from `first` to `last`, the input that they stand for, and how often each symbol occurs. */
export interface Block {
  first: number;
  last: number;
  start: number;
  end: number;
  literals: Int32Array;
  distances: Int32Array;
}

/** Writes blocks one behind the other into an output buffer of its own. */
export class BlockWriter {
  /** Grows to what a call needs; the first `length` bytes are written. */
  output: Uint8Array;
  length = 0;
  private view: DataView;
  private bits = 0;
  private bitCount = 0;

  private readonly literalLengths = new Uint8Array(fixedSymbols + distanceSymbols);
  private readonly distanceLengths = new Uint8Array(distanceSymbols);
  private readonly literalCodes = new Uint16Array(fixedSymbols);
  private readonly distanceCodes = new Uint16Array(distanceSymbols);
  /** Code and length of each literal as one number: the code, and its length from bit 16 on. */
  private readonly literalEntries = new Int32Array(257);
  /** Code and extra bits of each match length less 3, and from bit 24 on their number. */
  private readonly lengthEntries = new Int32Array(256);
  /**
   * Code of each distance, by the index that `distanceSlots` has too; from bit 11 on the code's length, from bit 15 on the
   * number of extra bits, and from bit 24 on that of both.
   */
  private readonly distanceEntries = new Int32Array(distanceSlots.length);

  private readonly codeLengthFrequencies = new Int32Array(19);
  private readonly codeLengthLengths = new Uint8Array(19);
  private readonly codeLengthCodes = new Uint16Array(19);
  /** The code lengths of a block, run-length coded: symbol, and extra bits from bit 8 on. */
  private readonly codeLengthRuns = new Uint16Array(literalSymbols + distanceSymbols);

  constructor(bytes: number) {
    this.output = new Uint8Array(bytes);
    this.view = new DataView(this.output.buffer);
  }

  /** Starts anew, at the first byte of the output. */
  reset(): void {
    this.length = 0;
    this.bits = 0;
    this.bitCount = 0;
  }

  /** Stored blocks for `[from, to)`; the output is byte-aligned then. With nothing to store, one empty block. */
  stored(input: Uint8Array, from: number, to: number, final: boolean): void {
    let at = from;
    do {
      const size = Math.min(storedMaximum, to - at);
      this.put(final && at + size === to ? 1 : 0, 3);
      this.align();
      const { output } = this;
      let { length } = this;
      output[length++] = size & 255;
      output[length++] = size >> 8;
      output[length++] = ~size & 255;
      output[length++] = (~size >> 8) & 255;
      output.set(input.subarray(at, at + size), length);
      this.length = length + size;
      at += size;
    } while (at < to);
  }

  /** One block of tokens. */
  compressed(input: Uint8Array, tokens: Int32Array, block: Block, final: boolean): void {
    const { start, end } = block;
    const { literals, distances } = block;
    this.literalLengths.fill(0);
    setCodeLengths(literals, literalSymbols, literalLimit, this.literalLengths);
    setCodeLengths(distances, distanceSymbols, distanceLimit, this.distanceLengths);
    const header = this.planHeader();

    const extra = extraBits(literals, distances);
    const dynamicBits =
      header.bits +
      extra +
      totalBits(literals, this.literalLengths, literalSymbols) +
      totalBits(distances, this.distanceLengths, distanceSymbols);
    const fixedTotal = extra + fixedBits(literals, distances);
    const storedBits = (end - start) * 8 + Math.ceil((end - start) / storedMaximum) * 40;
    if (storedBits <= Math.min(dynamicBits, fixedTotal)) {
      this.stored(input, start, end, final);
      return;
    }
    if (fixedTotal <= dynamicBits) {
      this.put((final ? 1 : 0) | (1 << 1), 3);
      setFixedLengths(this.literalLengths, this.distanceLengths);
    } else {
      this.put((final ? 1 : 0) | (2 << 1), 3);
      this.writeHeader(header);
    }
    this.setEntries();
    this.write(input, start, tokens, block.first, block.last);
    const entry = this.literalEntries[endOfBlock]!;
    this.put(entry & 0xffff, entry >>> 16);
  }

  /** Fills the last byte with zeros. */
  align(): void {
    while (this.bitCount > 0) {
      this.output[this.length++] = this.bits & 255;
      this.bits >>>= 8;
      this.bitCount = Math.max(0, this.bitCount - 8);
    }
    this.bits = 0;
  }

  private put(bits: number, count: number): void {
    this.bits |= bits << this.bitCount;
    this.bitCount += count;
    while (this.bitCount >= 8) {
      this.output[this.length++] = this.bits & 255;
      this.bits >>>= 8;
      this.bitCount -= 8;
    }
  }

  private planHeader(): { literals: number; distances: number; codeLengths: number; runs: number; bits: number } {
    let literals = literalSymbols;
    while (literals > 257 && this.literalLengths[literals - 1] === 0) literals--;
    let distances = distanceSymbols;
    while (distances > 1 && this.distanceLengths[distances - 1] === 0) distances--;
    // Both alphabets are sent as one sequence; the room behind the literals' lengths is unused by them.
    const all = this.literalLengths;
    all.set(this.distanceLengths.subarray(0, distances), literals);
    const total = literals + distances;

    const { codeLengthFrequencies: frequencies, codeLengthRuns } = this;
    frequencies.fill(0);
    let runs = 0;
    const add = (symbol: number, extra: number): void => {
      frequencies[symbol] = frequencies[symbol]! + 1;
      codeLengthRuns[runs++] = symbol | (extra << 8);
    };
    for (let at = 0; at < total; ) {
      const value = all[at]!;
      let end = at + 1;
      while (end < total && all[end] === value) end++;
      let repeats = end - at;
      at = end;
      if (value === 0) {
        for (; repeats >= 11; repeats -= Math.min(repeats, 138)) add(18, Math.min(repeats, 138) - 11);
        if (repeats >= 3) {
          add(17, repeats - 3);
          repeats = 0;
        }
      } else {
        add(value, 0);
        repeats--;
        for (; repeats >= 3; repeats -= Math.min(repeats, 6)) add(16, Math.min(repeats, 6) - 3);
      }
      for (; repeats > 0; repeats--) add(value, 0);
    }
    all.fill(0, literals, total);

    setCodeLengths(frequencies, 19, codeLengthLimit, this.codeLengthLengths);
    let codeLengths = 19;
    while (codeLengths > 4 && this.codeLengthLengths[codeLengthOrder[codeLengths - 1]!] === 0) codeLengths--;
    const bits =
      3 +
      14 +
      3 * codeLengths +
      totalBits(frequencies, this.codeLengthLengths, 19) +
      frequencies[16]! * 2 +
      frequencies[17]! * 3 +
      frequencies[18]! * 7;
    return { literals, distances, codeLengths, runs, bits };
  }

  private writeHeader(header: { literals: number; distances: number; codeLengths: number; runs: number }): void {
    this.put(header.literals - 257, 5);
    this.put(header.distances - 1, 5);
    this.put(header.codeLengths - 4, 4);
    for (let index = 0; index < header.codeLengths; index++) {
      this.put(this.codeLengthLengths[codeLengthOrder[index]!]!, 3);
    }
    setCanonicalCodes(this.codeLengthLengths, 19, this.codeLengthCodes);
    for (let index = 0; index < header.runs; index++) {
      const symbol = this.codeLengthRuns[index]! & 255;
      this.put(this.codeLengthCodes[symbol]!, this.codeLengthLengths[symbol]!);
      if (symbol >= 16) this.put(this.codeLengthRuns[index]! >> 8, symbol === 16 ? 2 : symbol === 17 ? 3 : 7);
    }
  }

  /** Puts codes, lengths and extra bits together into one number per literal, match length and distance symbol. */
  private setEntries(): void {
    const { literalLengths, literalCodes, distanceLengths, distanceCodes } = this;
    setCanonicalCodes(literalLengths, fixedSymbols, literalCodes);
    setCanonicalCodes(distanceLengths, distanceSymbols, distanceCodes);
    for (let symbol = 0; symbol <= endOfBlock; symbol++) {
      this.literalEntries[symbol] = literalCodes[symbol]! | (literalLengths[symbol]! << 16);
    }
    for (let length = 0; length < 256; length++) {
      const slot = lengthSlots[length]!;
      const codeLength = literalLengths[257 + slot]!;
      const extra = length + 3 - lengthBases[slot]!;
      const count = codeLength + lengthExtraBits[slot]!;
      this.lengthEntries[length] = literalCodes[257 + slot]! | (extra << codeLength) | (count << 24);
    }
    for (let index = 0; index < distanceSlots.length; index++) {
      const slot = distanceSlots[index]!;
      const codeLength = distanceLengths[slot]!;
      const extra = distanceExtraBits[slot]!;
      this.distanceEntries[index] =
        distanceCodes[slot]! | (codeLength << 11) | (extra << 15) | ((codeLength + extra) << 24);
    }
  }

  /** 24 and 16 are where run and length begin in a token: see tokens.ts. */
  private write(input: Uint8Array, from: number, tokens: Int32Array, first: number, last: number): void {
    const { view, literalEntries, lengthEntries, distanceEntries } = this;
    let out = this.length | 0;
    let bits = this.bits | 0;
    let bitCount = this.bitCount | 0;
    let at = from | 0;
    for (let index = first; index < last; index++) {
      const token = tokens[index]!;
      for (const end = at + (token >>> 24); at < end; ) {
        const entry = literalEntries[input[at++]!]!;
        bits |= (entry & 0xffff) << bitCount;
        bitCount += entry >>> 16;
        if (at < end) {
          const second = literalEntries[input[at++]!]!;
          bits |= (second & 0xffff) << bitCount;
          bitCount += second >>> 16;
        }
        view.setInt32(out, bits, true);
        out += bitCount >> 3;
        bits >>>= bitCount & 24;
        bitCount &= 7;
      }
      const distance = (token & 0xffff) - 1;
      if (distance < 0) continue;
      const length = (token >>> 16) & 255;
      at += length + 3;
      const lengthEntry = lengthEntries[length]!;
      const distanceEntry = distanceEntries[distance < 256 ? distance : 256 + (distance >> 7)]!;
      bits |= (lengthEntry & 0xffffff) << bitCount;
      bitCount += lengthEntry >>> 24;
      // Mostly both fit.
      if (bitCount + (distanceEntry >>> 24) > 31) {
        view.setInt32(out, bits, true);
        out += bitCount >> 3;
        bits >>>= bitCount & 24;
        bitCount &= 7;
      }
      // The least distance of a symbol is a multiple of what its extra bits count up to.
      const extra = distance & ~(-1 << ((distanceEntry >>> 15) & 15));
      bits |= ((distanceEntry & 0x7ff) | (extra << ((distanceEntry >>> 11) & 15))) << bitCount;
      bitCount += distanceEntry >>> 24;
      view.setInt32(out, bits, true);
      out += bitCount >> 3;
      bits >>>= bitCount & 24;
      bitCount &= 7;
    }
    this.length = out;
    this.bits = bits;
    this.bitCount = bitCount;
  }
}

function totalBits(frequencies: Int32Array, lengths: Uint8Array, count: number): number {
  let bits = 0;
  for (let symbol = 0; symbol < count; symbol++) bits += frequencies[symbol]! * lengths[symbol]!;
  return bits;
}

function extraBits(literals: Int32Array, distances: Int32Array): number {
  let bits = 0;
  for (let slot = 0; slot < 29; slot++) bits += literals[257 + slot]! * lengthExtraBits[slot]!;
  for (let slot = 0; slot < 30; slot++) bits += distances[slot]! * distanceExtraBits[slot]!;
  return bits;
}

function fixedBits(literals: Int32Array, distances: Int32Array): number {
  let bits = 3;
  for (let symbol = 0; symbol < literalSymbols; symbol++) bits += literals[symbol]! * fixedLength(symbol);
  for (let slot = 0; slot < 30; slot++) bits += distances[slot]! * 5;
  return bits;
}

function fixedLength(symbol: number): number {
  return symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8;
}

/** The codes of section 3.2.6. The two length symbols that never occur still take their place among the codes. */
function setFixedLengths(literalLengths: Uint8Array, distanceLengths: Uint8Array): void {
  for (let symbol = 0; symbol < fixedSymbols; symbol++) literalLengths[symbol] = fixedLength(symbol);
  distanceLengths.fill(5);
}
