/** The 512-byte block that all of tar is made of: where the header's fields lie, and what writers and readers count alike. */

/** Bytes of a block. Headers are one block, bodies are padded to whole blocks. */
export const blockSize = 512;

/** Byte offsets of the ustar header's fields (POSIX pax, table "ustar Header Block"). */
export const field = {
  name: 0,
  mode: 100,
  uid: 108,
  gid: 116,
  size: 124,
  mtime: 136,
  checksum: 148,
  type: 156,
  linkName: 157,
  magic: 257,
  userName: 265,
  groupName: 297,
  deviceMajor: 329,
  deviceMinor: 337,
  prefix: 345,
} as const;

/** Bytes from the end of a body of `size` bytes to the next block. */
export function paddingAfter(size: number): number {
  const over = size % blockSize;
  return over === 0 ? 0 : blockSize - over;
}

/** The sum of a header's bytes, those of the checksum itself counted as spaces. */
export function checksumOf(bytes: Uint8Array, at: number): number {
  let sum = 8 * 0x20;
  for (let index = at + field.checksum; index < at + field.type; index++) sum -= bytes[index]!;
  // Four at a time: this loop is a fifth of the time of reading an archive of small files.
  for (let index = at; index < at + blockSize; index += 4) {
    sum += bytes[index]! + bytes[index + 1]! + bytes[index + 2]! + bytes[index + 3]!;
  }
  return sum;
}

/** Writes `digits` octal digits at `at`; the byte after them stays as it is (NUL in a fresh block). */
export function writeOctal(bytes: Uint8Array, at: number, digits: number, value: number): void {
  let rest = value;
  let index = at + digits - 1;
  // Numbers over 31 bits go by division, the others by shifts.
  for (; rest > 0x7fffffff; index--) {
    bytes[index] = 0x30 + (rest % 8);
    rest = Math.floor(rest / 8);
  }
  for (; index >= at; index--) {
    bytes[index] = 0x30 + (rest & 7);
    rest >>>= 3;
  }
}

/** The largest number that `digits` octal digits can say. */
export function octalMaximum(digits: number): number {
  return 8 ** digits - 1;
}
