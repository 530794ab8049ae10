/** Reads the numbers and the checksum of a header block, in the many ways in which they have been written. */
import { blockSize, checksumOf, field } from './block.ts';

/** Whether the block at `at` holds zeros alone, as the end of an archive does. */
export function isZeroBlock(bytes: Uint8Array, at: number): boolean {
  for (let index = at; index < at + blockSize; index++) if (bytes[index] !== 0) return false;
  return true;
}

/** Whether the header's checksum is right, summed unsigned as POSIX says or signed as some old tars did. */
export function checksumHolds(bytes: Uint8Array, at: number): boolean {
  const stored = readNumber(bytes, at + field.checksum, 8);
  if (stored === checksumOf(bytes, at)) return true;
  let signed = 0;
  for (let index = 0; index < blockSize; index++) {
    const inChecksum = index >= field.checksum && index < field.type;
    signed += inChecksum ? 0x20 : (bytes[at + index]! << 24) >> 24;
  }
  return stored === signed;
}

/**
 * A number field: octal digits among spaces and NULs, or GNU's base 256, marked by its top bit, two's complement.
 * An empty field is 0; what is no number, or past the safe integers, is NaN.
 */
export function readNumber(bytes: Uint8Array, at: number, length: number): number {
  if (bytes[at]! & 0x80) return readBinary(bytes, at, length);
  const end = at + length;
  let index = at;
  while (index < end && (bytes[index] === 0x20 || bytes[index] === 0)) index++;
  let value = 0;
  for (; index < end; index++) {
    const digit = bytes[index]! - 0x30;
    if (digit >= 0 && digit <= 7) value = value * 8 + digit;
    else if (bytes[index] === 0 || bytes[index] === 0x20) break;
    else return Number.NaN;
  }
  return value;
}

function readBinary(bytes: Uint8Array, at: number, length: number): number {
  // Bit 7 of the first byte is the mark, bit 6 the sign.
  const negative = (bytes[at]! & 0x40) !== 0;
  const flip = negative ? 0xff : 0;
  let value = (bytes[at]! ^ flip) & 0x7f;
  for (let index = at + 1; index < at + length; index++) value = value * 256 + (bytes[index]! ^ flip);
  if (!Number.isSafeInteger(value)) return Number.NaN;
  return negative ? -value - 1 : value;
}
