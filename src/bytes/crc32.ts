/** CRC-32 as gzip has it (RFC 1952, section 8), of bytes and of two stretches of bytes that were summed apart. */
import { nativeModule } from './runtime.ts';

const polynomial = 0xedb88320;

/** Bytes that the portable loop takes in one step: one table each. */
const slice = 16;

let tables: Int32Array | undefined;

let native: ((bytes: Uint8Array, seed: number) => number) | null | undefined;

/** The CRC-32 of the bytes that `seed` is the CRC-32 of (default: none), followed by `bytes`: an unsigned 32-bit number. */
export function crc32(bytes: Uint8Array, seed = 0): number {
  if (native === undefined) native = nativeCrc32() ?? null;
  return native === null ? portableCrc32(bytes, seed) : native(bytes, seed);
}

/** {@link crc32} without the runtime's own: the same values everywhere, at about a gigabyte a second. */
export function portableCrc32(bytes: Uint8Array, seed = 0): number {
  tables ??= makeTables();
  const table = tables;
  let crc = ~seed;
  let at = 0;
  const sliced = bytes.length - (bytes.length % slice);
  while (at < sliced) {
    const chunk = at;
    at += slice;
    crc =
      table[3840 | (bytes[chunk]! ^ (crc & 255))]! ^
      table[3584 | (bytes[chunk + 1]! ^ ((crc >>> 8) & 255))]! ^
      table[3328 | (bytes[chunk + 2]! ^ ((crc >>> 16) & 255))]! ^
      table[3072 | (bytes[chunk + 3]! ^ (crc >>> 24))]! ^
      table[2816 | bytes[chunk + 4]!]! ^
      table[2560 | bytes[chunk + 5]!]! ^
      table[2304 | bytes[chunk + 6]!]! ^
      table[2048 | bytes[chunk + 7]!]! ^
      table[1792 | bytes[chunk + 8]!]! ^
      table[1536 | bytes[chunk + 9]!]! ^
      table[1280 | bytes[chunk + 10]!]! ^
      table[1024 | bytes[chunk + 11]!]! ^
      table[768 | bytes[chunk + 12]!]! ^
      table[512 | bytes[chunk + 13]!]! ^
      table[256 | bytes[chunk + 14]!]! ^
      table[bytes[chunk + 15]!]!;
  }
  for (; at < bytes.length; at++) crc = table[(crc ^ bytes[at]!) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** The CRC-32 of two stretches of bytes in a row, from the CRC-32 of each and the length in bytes of the second. */
export function crc32Combine(first: number, second: number, secondLength: number): number {
  // Zeros behind a message multiply its remainder by x^8 each. `power` runs through x^8, x^16, x^32… modulo the polynomial.
  let power = 0x00800000;
  let shifted = first;
  for (let left = secondLength; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) shifted = multiply(shifted, power);
    power = multiply(power, power);
  }
  return (shifted ^ second) >>> 0;
}

/** The product of two polynomials modulo CRC-32's, bits reversed as CRC-32 has them: the highest bit stands for x^0. */
function multiply(left: number, right: number): number {
  let product = 0;
  let multiple = right;
  for (let bit = 31; bit >= 0; bit--) {
    if ((left >>> bit) & 1) product ^= multiple;
    multiple = (multiple >>> 1) ^ (multiple & 1 ? polynomial : 0);
  }
  return product;
}

/** Table n holds the CRC of one byte followed by n zeros. */
function makeTables(): Int32Array {
  const made = new Int32Array(slice * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? polynomial : 0);
    made[byte] = crc;
  }
  for (let at = 256; at < made.length; at++) {
    const shorter = made[at - 256]!;
    made[at] = made[shorter & 255]! ^ (shorter >>> 8);
  }
  return made;
}

/** Node's own since 20.15 and 22.2, several times faster. */
function nativeCrc32(): ((bytes: Uint8Array, seed: number) => number) | undefined {
  return nativeModule<{ crc32?: (bytes: Uint8Array, seed: number) => number }>('node:zlib')?.crc32;
}
