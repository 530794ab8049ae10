/**
 * SHA-256 (FIPS 180-4), incremental and synchronous, for runtimes that hash nothing of their own: small enough to be
 * loaded always, as an image's digest is asked for without a wait.
 */

/** A hash under way. */
export interface HashState {
  /** Adds bytes; the array may be reused afterwards. */
  update(bytes: Uint8Array): unknown;
  /** The digest of all that was added. Nothing may be added after it. */
  digest(): Uint8Array;
}

const blockSize = 64;

/** A new hash, of no bytes yet. */
export function createSha256(): HashState {
  const state = Int32Array.from(firstPrimes(8), (prime) => fraction(Math.sqrt(prime)));
  const block = new Uint8Array(blockSize);
  const view = new DataView(block.buffer);
  let size = 0;

  const update = (bytes: Uint8Array): void => {
    let at = 0;
    const filled = size % blockSize;
    size += bytes.length;
    if (filled > 0) {
      at = Math.min(blockSize - filled, bytes.length);
      block.set(bytes.subarray(0, at), filled);
      if (filled + at < blockSize) return;
      compress(state, view, 0);
    }
    const source = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (; at + blockSize <= bytes.length; at += blockSize) compress(state, source, at);
    block.set(bytes.subarray(at));
  };

  return {
    update,
    digest() {
      // A one bit, zeros up to the last eight bytes of a block, and there the message's length in bits (section 5.1.1).
      const padding = new Uint8Array(blockSize - ((size + 8) % blockSize) + 8);
      padding[0] = 0x80;
      new DataView(padding.buffer).setBigUint64(padding.length - 8, BigInt(size) * 8n);
      update(padding);
      const digest = new DataView(new ArrayBuffer(32));
      state.forEach((word, index) => {
        digest.setInt32(4 * index, word);
      });
      return new Uint8Array(digest.buffer);
    },
  };
}

/** Section 6.2.2: takes one block of the message into the state. */
function compress(state: Int32Array, bytes: DataView, at: number): void {
  const words = schedule;
  for (let index = 0; index < 16; index++) words[index] = bytes.getInt32(at + 4 * index);
  for (let index = 16; index < 64; index++) {
    const early = words[index - 15]!;
    const late = words[index - 2]!;
    const sigma0 = ((early >>> 7) | (early << 25)) ^ ((early >>> 18) | (early << 14)) ^ (early >>> 3);
    const sigma1 = ((late >>> 17) | (late << 15)) ^ ((late >>> 19) | (late << 13)) ^ (late >>> 10);
    words[index] = (sigma1 + words[index - 7]! + sigma0 + words[index - 16]!) | 0;
  }
  let a = state[0]!;
  let b = state[1]!;
  let c = state[2]!;
  let d = state[3]!;
  let e = state[4]!;
  let f = state[5]!;
  let g = state[6]!;
  let h = state[7]!;
  for (let index = 0; index < 64; index++) {
    const sum1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const sum0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const first = (h + sum1 + (g ^ (e & (f ^ g))) + constants[index]! + words[index]!) | 0;
    const second = (sum0 + ((a & b) ^ (c & (a ^ b)))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + first) | 0;
    d = c;
    c = b;
    b = a;
    a = (first + second) | 0;
  }
  state[0] = state[0]! + a;
  state[1] = state[1]! + b;
  state[2] = state[2]! + c;
  state[3] = state[3]! + d;
  state[4] = state[4]! + e;
  state[5] = state[5]! + f;
  state[6] = state[6]! + g;
  state[7] = state[7]! + h;
}

/** Section 4.2.2. The cube roots of these primes are far from where rounding could change a bit: a fortieth of the last one. */
const constants: Int32Array = /* @__PURE__ */ Int32Array.from(/* @__PURE__ */ firstPrimes(64), (prime) =>
  fraction(Math.cbrt(prime)),
);

/** One for all hashes: nothing is kept there between two blocks. */
const schedule: Int32Array = /* @__PURE__ */ new Int32Array(64);

/** The first 32 bits of the fraction. */
function fraction(root: number): number {
  return (root * 2 ** 32) | 0;
}

function firstPrimes(count: number): number[] {
  const primes: number[] = [];
  for (let number = 2; primes.length < count; number++) {
    if (primes.every((prime) => number % prime !== 0)) primes.push(number);
  }
  return primes;
}
