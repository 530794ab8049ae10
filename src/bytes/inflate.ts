/**
 * DEFLATE decompression (RFC 1951) in portable code: a synchronous state machine that takes pieces of input and gives
 * pieces of output. It is as strict as zlib, holds a constant amount of memory whatever the input says, and knows to
 * the byte where the stream ends, which is what a gzip reader needs to see the member that follows, or the garbage.
 */
import {
  codeLengthRoot,
  distanceEntries,
  distanceRoot,
  fillTable,
  fixedTables,
  kindBase,
  kindEnd,
  kindTable,
  literalEntries,
  literalRoot,
} from './inflate-table.ts';

/** The most that one `push` takes, in bytes. */
export const inflateInputBytes = 65536;

const windowBytes = 32768;
const outputBytes = 262144;
/** The longest match that one step of the loop may write. */
const matchBytes = 258;
/** Input that one step of the loop may load: four times two bytes. Zeros follow the real input for that long. */
const slackBytes = 16;
/** Input kept from one `push` to the next: what an unfinished symbol or code description needs, which is less than 600. */
const carryBytes = 1024;

const literalMask = (1 << literalRoot) - 1;
const distanceMask = (1 << distanceRoot) - 1;

/** The order in which a block gives the lengths of the code for its code lengths (section 3.2.7). */
const codeLengthOrder = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** Decompresses one DEFLATE stream after another; `reset` begins a new one. Throws `Error` with a short reason for corrupt input. */
export class Inflater {
  /** The stream's last block has been read; `rest()` is what follows it. */
  ended = false;

  readonly #input = new Uint8Array(carryBytes + inflateInputBytes + slackBytes);
  /** Where the next byte of input is, and where input ends. */
  #at = 0;
  #end = 0;
  /** Bits taken from input and not used yet, lowest first, and how many. */
  #hold = 0;
  #bits = 0;

  readonly #output = new Uint8Array(windowBytes + outputBytes);
  /** Output is in [`#from`, `#to`) until it is read; what lies before, down to `#oldest`, can be copied from. */
  #from = 0;
  #to = 0;
  #oldest = 0;

  #state: 'block' | 'stored' | 'symbols' = 'block';
  #last = false;
  #storedLeft = 0;
  #tables = fixedTables();
  readonly #ownTables = {
    literals: new Uint32Array(literalEntries),
    distances: new Uint32Array(distanceEntries),
  };
  readonly #codeLengthTable = new Uint32Array(1 << codeLengthRoot);
  readonly #lengths = new Uint8Array(320);

  /** Begins a new stream, behind the one that ended. Input that was not used is forgotten: see `rest`. */
  reset(): void {
    this.ended = false;
    this.#at = this.#end = this.#hold = this.#bits = 0;
    this.#from = this.#to = this.#oldest = 0;
    this.#state = 'block';
    this.#last = false;
  }

  /** Adds input, at most `inflateInputBytes`, which is copied. Call it only when `read` has nothing more to give. */
  push(bytes: Uint8Array): void {
    this.#giveBack();
    const kept = this.#end - this.#at;
    this.#input.copyWithin(0, this.#at, this.#end);
    this.#input.set(bytes, kept);
    this.#at = 0;
    this.#end = kept + bytes.length;
    this.#input.fill(0, this.#end, this.#end + slackBytes);
  }

  /** The next piece of output, at most 256 KiB, the caller's to keep; `undefined` where there is more to push first, or at the end. */
  read(): Uint8Array | undefined {
    if (this.#to > this.#output.length - matchBytes) {
      this.#output.copyWithin(0, this.#to - windowBytes, this.#to);
      this.#oldest = Math.max(0, this.#oldest - (this.#to - windowBytes));
      this.#from = this.#to = windowBytes;
    }
    while (!this.ended && this.#to <= this.#output.length - matchBytes) {
      const state = this.#state;
      const done = state === 'symbols' ? this.#symbols() : state === 'stored' ? this.#stored() : this.#block();
      if (!done) break;
      if (this.#state === 'block' && this.#last) {
        this.ended = true;
        this.#giveBack();
        // What is left of the last byte is padding.
        this.#hold = this.#bits = 0;
      }
    }
    if (this.#from === this.#to) return undefined;
    const piece = this.#output.slice(this.#from, this.#to);
    this.#from = this.#to;
    return piece;
  }

  /** How many bytes of what was pushed last lie behind the end of the stream. */
  rest(): number {
    return this.#end - this.#at;
  }

  /** Returns whole bytes from the bit buffer to the input, among them zeros that never were input. */
  #giveBack(): void {
    this.#at -= this.#bits >> 3;
    this.#bits &= 7;
    this.#hold &= (1 << this.#bits) - 1;
  }

  /** Takes `count` bits (at most 16); `-1` where input has too few. */
  #take(count: number): number {
    while (this.#bits < count) {
      if (this.#at >= this.#end) return -1;
      this.#hold |= this.#input[this.#at++]! << this.#bits;
      this.#bits += 8;
    }
    const value = this.#hold & ((1 << count) - 1);
    this.#hold >>>= count;
    this.#bits -= count;
    return value;
  }

  /** Reads the head of a block (section 3.2.3); false, and nothing taken, where input ends inside it. */
  #block(): boolean {
    const at = this.#at;
    const hold = this.#hold;
    const bits = this.#bits;
    const complete = this.#head();
    if (!complete) {
      this.#at = at;
      this.#hold = hold;
      this.#bits = bits;
    }
    return complete;
  }

  #head(): boolean {
    const head = this.#take(3);
    if (head < 0) return false;
    const type = head >> 1;
    if (type === 3) throw new Error('a block of the reserved type 3');
    if (type === 0) {
      this.#take(this.#bits & 7);
      const length = this.#take(16);
      const complement = length < 0 ? -1 : this.#take(16);
      if (complement < 0) return false;
      if (length !== (~complement & 0xffff))
        throw new Error('a stored block whose length does not match its complement');
      this.#storedLeft = length;
      this.#state = 'stored';
    } else {
      if (type === 2 && !this.#dynamicTables()) return false;
      this.#tables = type === 2 ? this.#ownTables : fixedTables();
      this.#state = 'symbols';
    }
    this.#last = (head & 1) === 1;
    return true;
  }

  /** Reads the code lengths of a block and builds its tables (section 3.2.7). */
  #dynamicTables(): boolean {
    const counts = this.#take(14);
    if (counts < 0) return false;
    const literals = (counts & 31) + 257;
    const distances = ((counts >> 5) & 31) + 1;
    if (literals > 286 || distances > 30) throw new Error('too many length or distance codes');
    const lengths = this.#lengths.fill(0);
    for (let index = 0; index < (counts >> 10) + 4; index++) {
      const length = this.#take(3);
      if (length < 0) return false;
      lengths[codeLengthOrder[index]!] = length;
    }
    const table = this.#codeLengthTable;
    fillTable(table, codeLengthRoot, lengths.subarray(0, 19), 'code length');
    lengths.fill(0);
    let previous = 0;
    for (let index = 0; index < literals + distances; ) {
      // The longest code has 7 bits; near the end of input there may be fewer, of which the code may need still fewer.
      while (this.#bits < codeLengthRoot && this.#at < this.#end) {
        this.#hold |= this.#input[this.#at++]! << this.#bits;
        this.#bits += 8;
      }
      const entry = table[this.#hold & ((1 << codeLengthRoot) - 1)]!;
      if (this.#take(entry & 255) < 0) return false;
      const symbol = entry >>> 16;
      if (symbol < 16) {
        lengths[index++] = previous = symbol;
        continue;
      }
      if (symbol === 16 && index === 0) throw new Error('a repeated code length without one before it');
      if (symbol !== 16) previous = 0;
      const extra = this.#take(symbol === 16 ? 2 : symbol === 17 ? 3 : 7);
      if (extra < 0) return false;
      const end = index + extra + (symbol === 18 ? 11 : 3);
      if (end > literals + distances) throw new Error('a repeated code length past the end');
      lengths.fill(previous, index, end);
      index = end;
    }
    if (lengths[256] === 0) throw new Error('a block without an end');
    fillTable(this.#ownTables.literals, literalRoot, lengths.subarray(0, literals), 'literal');
    fillTable(this.#ownTables.distances, distanceRoot, lengths.subarray(literals, literals + distances), 'distance');
    return true;
  }

  /** Copies what there is of a stored block; false where it goes on. */
  #stored(): boolean {
    this.#giveBack();
    const room = this.#output.length - this.#to;
    const count = Math.min(this.#storedLeft, this.#end - this.#at, room);
    this.#output.set(this.#input.subarray(this.#at, this.#at + count), this.#to);
    this.#at += count;
    this.#to += count;
    this.#storedLeft -= count;
    if (this.#storedLeft > 0) return false;
    this.#state = 'block';
    return true;
  }

  /** Decodes symbols until the block ends (true), or input does, or the room for output (false). */
  #symbols(): boolean {
    const input = this.#input;
    const output = this.#output;
    const { literals, distances } = this.#tables;
    const oldest = this.#oldest;
    const limit = output.length - matchBytes;
    const end = this.#end;
    // From here on a step might use zeros that are no input, which is seen after the step; it is then undone.
    const safe = end - 8;
    let at = this.#at;
    let hold = this.#hold;
    let bits = this.#bits;
    let to = this.#to;
    let undoAt = at;
    let undoHold = hold;
    let undoBits = bits;
    let undoTo = to;
    let fault: string | undefined;
    let ended = false;
    for (;;) {
      if (at >= safe || ended || fault !== undefined) {
        if (at * 8 - bits > end * 8) {
          at = undoAt;
          hold = undoHold;
          bits = undoBits;
          to = undoTo;
          ended = false;
          break;
        }
        if (fault !== undefined) throw new Error(fault);
        if (ended) break;
        undoAt = at;
        undoHold = hold;
        undoBits = bits;
        undoTo = to;
      }
      if (to > limit) break;
      if (bits < 15) {
        hold |= (input[at]! | (input[at + 1]! << 8)) << bits;
        at += 2;
        bits += 16;
      }
      let entry = literals[hold & literalMask]!;
      if (entry & kindTable) {
        hold >>>= literalRoot;
        bits -= literalRoot;
        entry = literals[(entry >>> 16) + (hold & ((1 << ((entry >> 8) & 15)) - 1))]!;
      }
      hold >>>= entry & 255;
      bits -= entry & 255;
      if ((entry & 0xff00) === 0) {
        output[to++] = entry >>> 16;
        continue;
      }
      if ((entry & kindBase) === 0) {
        if (entry & kindEnd) ended = true;
        else fault = 'an invalid literal or length code';
        continue;
      }
      let extra = (entry >> 8) & 15;
      if (bits < 15) {
        hold |= (input[at]! | (input[at + 1]! << 8)) << bits;
        at += 2;
        bits += 16;
      }
      const length = (entry >>> 16) + (hold & ((1 << extra) - 1));
      hold >>>= extra;
      bits -= extra;
      if (bits < 15) {
        hold |= (input[at]! | (input[at + 1]! << 8)) << bits;
        at += 2;
        bits += 16;
      }
      entry = distances[hold & distanceMask]!;
      if (entry & kindTable) {
        hold >>>= distanceRoot;
        bits -= distanceRoot;
        entry = distances[(entry >>> 16) + (hold & ((1 << ((entry >> 8) & 15)) - 1))]!;
      }
      hold >>>= entry & 255;
      bits -= entry & 255;
      if ((entry & kindBase) === 0) {
        fault = 'an invalid distance code';
        continue;
      }
      extra = (entry >> 8) & 15;
      if (bits < extra) {
        hold |= (input[at]! | (input[at + 1]! << 8)) << bits;
        at += 2;
        bits += 16;
      }
      const distance = (entry >>> 16) + (hold & ((1 << extra) - 1));
      hold >>>= extra;
      bits -= extra;
      let copy = to - distance;
      if (copy < oldest) {
        fault = 'a distance that reaches before the beginning';
        continue;
      }
      const until = to + length;
      while (to < until) output[to++] = output[copy++]!;
    }
    this.#at = at;
    this.#hold = hold;
    this.#bits = bits;
    this.#to = to;
    this.#giveBack();
    if (ended) this.#state = 'block';
    return ended;
  }
}
