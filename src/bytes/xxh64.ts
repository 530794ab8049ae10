/**
 * XXH64 with seed 0 (the xxHash specification, "XXH64 Algorithm Description"), of which zstd keeps the lower half as its
 * checksum. In 32-bit halves, for BigInt would be twenty times slower.
 */

/** An XXH64 to be fed in pieces. */
export class Xxh64 {
  /** The four lanes, each low half first. */
  readonly #lanes = new Int32Array(8);
  readonly #pending = new Uint8Array(32);
  #filled = 0;
  #length = 0;

  constructor() {
    const lanes = this.#lanes;
    this.#setLane(0, add(prime1, prime2));
    this.#setLane(1, prime2);
    lanes[4] = lanes[5] = 0;
    this.#setLane(3, negate(prime1));
  }

  update(bytes: Uint8Array): void {
    this.#length += bytes.length;
    let at = 0;
    if (this.#filled > 0) {
      at = Math.min(32 - this.#filled, bytes.length);
      this.#pending.set(bytes.subarray(0, at), this.#filled);
      this.#filled += at;
      if (this.#filled < 32) return;
      this.#stripes(this.#pending, 0, 32);
    }
    const end = bytes.length - ((bytes.length - at) % 32);
    this.#stripes(bytes, at, end);
    this.#pending.set(bytes.subarray(end));
    this.#filled = bytes.length - end;
  }

  /** The lower 32 bits of the hash, unsigned. */
  digestLow(): number {
    let hash: Pair;
    if (this.#length >= 32) {
      const lanes = [0, 1, 2, 3].map((lane): Pair => [this.#lanes[2 * lane]!, this.#lanes[2 * lane + 1]!]);
      hash = lanes.map((lane, index) => rotate(lane, [1, 7, 12, 18][index]!)).reduce(add);
      for (const lane of lanes) hash = add(multiply(xor(hash, round([0, 0], lane)), prime1), prime4);
    } else {
      hash = prime5;
    }
    hash = add(hash, [this.#length | 0, Math.floor(this.#length / 2 ** 32) | 0]);
    const rest = this.#pending;
    let at = 0;
    for (; at + 8 <= this.#filled; at += 8) {
      const lane = round([0, 0], [word(rest, at), word(rest, at + 4)]);
      hash = add(multiply(rotate(xor(hash, lane), 27), prime1), prime4);
    }
    if (at + 4 <= this.#filled) {
      hash = add(multiply(rotate(xor(hash, multiply([word(rest, at), 0], prime1)), 23), prime2), prime3);
      at += 4;
    }
    for (; at < this.#filled; at++) {
      hash = multiply(rotate(xor(hash, multiply([rest[at]!, 0], prime5)), 11), prime1);
    }
    hash = multiply(xor(hash, shiftRight(hash, 33)), prime2);
    hash = multiply(xor(hash, shiftRight(hash, 29)), prime3);
    return xor(hash, [hash[1], 0])[0] >>> 0;
  }

  #setLane(lane: number, [low, high]: Pair): void {
    this.#lanes[2 * lane] = low;
    this.#lanes[2 * lane + 1] = high;
  }

  /** The hot loop: each lane takes 8 bytes of a stripe of 32, `lane = rotate(lane + word * prime2, 31) * prime1`. */
  #stripes(bytes: Uint8Array, start: number, end: number): void {
    const lanes = this.#lanes;
    for (let at = start; at < end; at += 8) {
      const lane = ((at - start) >> 2) & 6;
      const inLow = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
      const inHigh = bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 24);
      let low = Math.imul(inLow, p2Low);
      let high = (multiplyHigh(inLow, p2Low) + Math.imul(inLow, p2High) + Math.imul(inHigh, p2Low)) | 0;
      const sum = (low >>> 0) + (lanes[lane]! >>> 0);
      high = (high + lanes[lane + 1]! + (sum > 0xffffffff ? 1 : 0)) | 0;
      low = sum | 0;
      const turnedLow = (low << 31) | (high >>> 1);
      const turnedHigh = (high << 31) | (low >>> 1);
      lanes[lane] = Math.imul(turnedLow, p1Low);
      lanes[lane + 1] = multiplyHigh(turnedLow, p1Low) + Math.imul(turnedLow, p1High) + Math.imul(turnedHigh, p1Low);
    }
  }
}

/** 64 bits: the lower half and the upper, signed as bit operations have them. */
type Pair = readonly [low: number, high: number];

const prime1: Pair = [0x85ebca87 | 0, 0x9e3779b1 | 0];
const prime2: Pair = [0x27d4eb4f, 0xc2b2ae3d | 0];
const prime3: Pair = [0x9e3779f9 | 0, 0x165667b1];
const prime4: Pair = [0xc2b2ae63 | 0, 0x85ebca77 | 0];
const prime5: Pair = [0x165667c5, 0x27d4eb2f];
const [p1Low, p1High] = prime1;
const [p2Low, p2High] = prime2;

/** The upper 32 bits of the product of two unsigned 32-bit numbers. */
function multiplyHigh(a: number, b: number): number {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  // `middle` is below 2^32, and so is the sum of its lower half with the other product.
  const other = a0 * b1 + (middle & 0xffff);
  return (a1 * b1 + (middle >>> 16) + (other >>> 16)) | 0;
}

function multiply([aLow, aHigh]: Pair, [bLow, bHigh]: Pair): Pair {
  return [Math.imul(aLow, bLow), (multiplyHigh(aLow, bLow) + Math.imul(aLow, bHigh) + Math.imul(aHigh, bLow)) | 0];
}

function add([aLow, aHigh]: Pair, [bLow, bHigh]: Pair): Pair {
  const low = (aLow >>> 0) + (bLow >>> 0);
  return [low | 0, (aHigh + bHigh + (low > 0xffffffff ? 1 : 0)) | 0];
}

function negate([low, high]: Pair): Pair {
  return add([~low, ~high], [1, 0]);
}

function xor([aLow, aHigh]: Pair, [bLow, bHigh]: Pair): Pair {
  return [aLow ^ bLow, aHigh ^ bHigh];
}

/** To the left, by 1 to 31. */
function rotate([low, high]: Pair, by: number): Pair {
  return [(low << by) | (high >>> (32 - by)), (high << by) | (low >>> (32 - by))];
}

function shiftRight([low, high]: Pair, by: number): Pair {
  return by >= 32 ? [by === 32 ? high : high >>> (by - 32), 0] : [(low >>> by) | (high << (32 - by)), high >>> by];
}

function round(accumulator: Pair, input: Pair): Pair {
  return multiply(rotate(add(accumulator, multiply(input, prime2)), 31), prime1);
}

function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}
