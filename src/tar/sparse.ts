/**
 * Sparse files, of which an archive holds the data and leaves out the holes, in GNU tar's four ways to say so: in the
 * header and blocks after it (old GNU), in PAX records (0.0 and 0.1), and in front of the data (1.0).
 * See GNU tar's manual, "Storing Sparse Files".
 */
import { blockSize } from './block.ts';
import { decodeText } from './decode-text.ts';
import { type Fail, type PaxRecords, paxNumber, paxValue, readDecimal } from './pax.ts';
import { readNumber } from './read-block.ts';

/** Where a file has data: `offset, length, offset, length, …`, ascending. Flat, because an archive may have many. */
export type Extents = number[];

/** What PAX records say of a sparse file; `extents` is missing where they stand in front of the data. */
export interface SparseRecords {
  path?: string;
  realSize: number;
  extents?: Extents;
}

/** Reads the sparse records of an entry; `undefined` for a file that is not sparse. */
export function readSparseRecords(records: PaxRecords, size: number, fail: Fail): SparseRecords | undefined {
  const major = paxValue(records, 'GNU.sparse.major');
  const minor = paxValue(records, 'GNU.sparse.minor');
  const map = paxValue(records, 'GNU.sparse.map');
  const count = paxNumber(records, 'GNU.sparse.numblocks', fail);
  if (major === undefined && minor === undefined && map === undefined && count === undefined) return undefined;
  const version = major && minor ? `${decodeText(major)}.${decodeText(minor)}` : '0.1';
  if (version !== '0.0' && version !== '0.1' && version !== '1.0') {
    throw fail(`GNU sparse format ${JSON.stringify(version)} is not known`);
  }
  const name = paxValue(records, 'GNU.sparse.name');
  const realSize =
    paxNumber(records, 'GNU.sparse.realsize', fail) ?? paxNumber(records, 'GNU.sparse.size', fail) ?? size;
  const sparse: SparseRecords = { realSize };
  if (name !== undefined) {
    if (name.includes(0)) throw fail('the PAX record GNU.sparse.name holds a NUL');
    sparse.path = decodeText(name);
  }
  if (version !== '1.0') {
    sparse.extents = map === undefined ? [] : readList(map, fail);
    if (count !== undefined && count * 2 !== sparse.extents.length) {
      throw fail('GNU.sparse.numblocks does not match the sparse map');
    }
  }
  return sparse;
}

/** Reads the `slots` extents of an old GNU header or of a block after it, up to the first empty one. */
export function readOldExtents(block: Uint8Array, at: number, slots: number, extents: Extents): void {
  for (let slot = at; slot < at + slots * 24 && block[slot] !== 0; slot += 24) {
    extents.push(readNumber(block, slot, 12), readNumber(block, slot + 12, 12));
  }
}

/** The map of format 1.0: decimal lines, a count and then offsets and lengths, padded to whole blocks. Takes block by block. */
export class SparseMapReader {
  readonly extents: Extents = [];
  #count = -1;
  #number = 0;
  #digits = 0;

  /** How many extents the map announces; -1 until that is read. */
  get count(): number {
    return this.#count;
  }

  /** Whether the map ends in this block. */
  push(block: Uint8Array, start: number, fail: Fail): boolean {
    for (let at = start; at < start + blockSize; at++) {
      const digit = block[at]! - 0x30;
      if (digit >= 0 && digit <= 9 && this.#digits < 16) {
        this.#number = this.#number * 10 + digit;
        this.#digits++;
        continue;
      }
      if (block[at] !== 0x0a || this.#digits === 0) throw fail('the sparse map is malformed');
      if (this.#count < 0) this.#count = this.#number;
      else this.extents.push(this.#number);
      this.#number = 0;
      this.#digits = 0;
      if (this.extents.length === this.#count * 2) return true;
    }
    return false;
  }
}

/** Checks that extents ascend, lie within the file, and name exactly the data that the archive holds. */
export function checkExtents(extents: Extents, realSize: number, dataSize: number, fail: Fail): void {
  let end = 0;
  let data = 0;
  for (let index = 0; index < extents.length; index += 2) {
    const offset = extents[index]!;
    const length = extents[index + 1]!;
    // NaN fails each of these as well: no number is no extent.
    if (!(offset >= end) || !(length >= 0) || !(offset + length <= realSize)) {
      throw fail('the sparse map has extents that overlap or lie past the end of the file');
    }
    end = offset + length;
    data += length;
  }
  if (data !== dataSize) throw fail(`the sparse map names ${data} bytes of data, the archive holds ${dataSize}`);
}

/** A hole's bytes, at most 256 KiB of them: views of one buffer that is made when the first hole is read. */
export function holeBytes(length: number): Uint8Array {
  zeros ??= new Uint8Array(256 * 1024);
  return length < zeros.length ? zeros.subarray(0, length) : zeros;
}

/** Whether bytes of a body stand for a part of a hole: who writes files can leave it out. */
export function isHole(bytes: Uint8Array): boolean {
  return bytes.buffer === zeros?.buffer;
}

let zeros: Uint8Array | undefined;

function readList(map: Uint8Array, fail: Fail): Extents {
  const extents: Extents = [];
  for (let start = 0; start <= map.length; ) {
    const comma = map.indexOf(0x2c, start);
    const end = comma < 0 ? map.length : comma;
    extents.push(readDecimal(map, start, end));
    start = end + 1;
  }
  if (extents.length % 2 !== 0) throw fail('the sparse map has an offset without a length');
  return extents;
}
