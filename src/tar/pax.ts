/** Reads PAX extended header records, `length keyword=value\n`, into keyword maps (POSIX pax, "pax Extended Header"). */
import type { StowageError } from '../errors.ts';
import { decodeText } from './decode-text.ts';
import { xattrPrefix } from './write-pax.ts';

/** Values by keyword, as bytes: an extended attribute need not be text. A record of no value is there, and empty. */
export type PaxRecords = Map<string, Uint8Array>;

/** Makes the error for a problem; its holder knows the archive, the offset and the entry. */
export type Fail = (problem: string) => StowageError;

/**
 * Reads the body of an extended header, strictly: a record that is not exactly as long as it says fails. Later records
 * win over earlier ones. Keywords that mean nothing here (`atime`, `comment`…) are checked and dropped. The offsets and
 * lengths of GNU's sparse format 0.0, which repeat, are joined under `GNU.sparse.map`, as format 0.1 has them. Values are
 * views of `bytes`.
 */
export function parsePax(bytes: Uint8Array, fail: Fail): PaxRecords {
  const records: PaxRecords = new Map();
  const sparse: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const equals = findEquals(bytes, at, fail);
    const key = keywordOf(bytes, equals.start, equals.at);
    at = equals.next;
    if (ignored.has(key)) continue;
    const value = bytes.subarray(equals.at + 1, equals.next - 1);
    if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') {
      if ((sparse.length % 2 === 0) !== (key === 'GNU.sparse.offset'))
        throw fail(`the PAX record ${key} is out of order`);
      sparse.push(decodeText(value));
    } else if (textKeys.has(key)) {
      if (value.includes(0)) throw fail(`the PAX record ${key} holds a NUL`);
      records.set(key, value);
    } else if (key.includes('\0')) {
      throw fail('a PAX keyword holds a NUL');
    } else if (isRelevant(key)) {
      records.set(key, value);
    }
  }
  if (sparse.length > 0) records.set('GNU.sparse.map', new TextEncoder().encode(sparse.join(',')));
  return records;
}

/**
 * Adds a global header's records to those before it. Only POSIX's own keywords act globally: an extended attribute or
 * sparse map for all files would be no file's own, and bounding eight keywords bounds what an archive can make us keep.
 */
export function mergeGlobal(globals: PaxRecords, records: PaxRecords): void {
  for (const [key, value] of records) {
    if (textKeys.has(key) || numberKeys.has(key)) globals.set(key, value.slice());
  }
}

/** The records in force for one entry: its own over the global ones. */
export function inForce(globals: PaxRecords, local: PaxRecords | undefined): PaxRecords | undefined {
  if (globals.size === 0) return local;
  return local === undefined ? globals : new Map([...globals, ...local]);
}

/** A record's bytes; `undefined` where there is none, or an empty one, which takes back what a global header said. */
export function paxValue(records: PaxRecords, key: string): Uint8Array | undefined {
  const value = records.get(key);
  return value === undefined || value.length === 0 ? undefined : value;
}

/** A decimal number of a record; `undefined` where there is none. */
export function paxNumber(records: PaxRecords, key: string, fail: Fail): number | undefined {
  const value = paxValue(records, key);
  if (value === undefined) return undefined;
  const number = readDecimal(value, 0, value.length);
  if (Number.isNaN(number)) throw fail(`the PAX record ${key} is no whole number below 2^53`);
  return number;
}

/** Digits alone, as a number; NaN for none, for other bytes, and past the safe integers. */
export function readDecimal(bytes: Uint8Array, start: number, end: number): number {
  if (end <= start || end - start > 20) return Number.NaN;
  let value = 0;
  for (let at = start; at < end; at++) {
    const digit = bytes[at]! - 0x30;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  return Number.isSafeInteger(value) ? value : Number.NaN;
}

/** A time record as whole seconds, rounded down, and nanoseconds; digits past the ninth are dropped. */
export function paxTime(value: Uint8Array, fail: Fail): { seconds: number; nanoseconds: number } {
  const negative = value[0] === 0x2d;
  const start = negative ? 1 : 0;
  const dot = value.indexOf(0x2e);
  let seconds = readDecimal(value, start, dot < 0 ? value.length : dot);
  let nanoseconds = 0;
  for (let index = 1; dot >= 0 && dot + index < value.length; index++) {
    const digit = value[dot + index]! - 0x30;
    if (digit < 0 || digit > 9) seconds = Number.NaN;
    if (index <= 9) nanoseconds += digit * 10 ** (9 - index);
  }
  if (Number.isNaN(seconds)) throw fail('the PAX record mtime is no time');
  if (!negative) return { seconds, nanoseconds };
  if (nanoseconds === 0) return { seconds: 0 - seconds, nanoseconds };
  return { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds };
}

/**
 * Extended attributes: `SCHILY.xattr.` with the bytes as they are, or else libarchive's `LIBARCHIVE.xattr.` with a
 * percent-encoded name and base64. An empty value is an empty attribute.
 */
export function paxXattrs(records: PaxRecords): Record<string, Uint8Array> | undefined {
  let xattrs: Record<string, Uint8Array> | undefined;
  for (const [key, value] of records) {
    if (key.startsWith(xattrPrefix)) {
      xattrs ??= Object.create(null) as Record<string, Uint8Array>;
      xattrs[key.slice(xattrPrefix.length)] = value.slice();
    } else if (key.startsWith(libarchivePrefix)) {
      const name = percentDecode(key.slice(libarchivePrefix.length));
      const bytes = records.has(xattrPrefix + name) ? undefined : base64Decode(value);
      if (name === '' || bytes === undefined) continue;
      xattrs ??= Object.create(null) as Record<string, Uint8Array>;
      xattrs[name] = bytes;
    }
  }
  return xattrs;
}

const libarchivePrefix = 'LIBARCHIVE.xattr.';
const textKeys: ReadonlySet<string> = new Set(['path', 'linkpath', 'uname', 'gname']);
const numberKeys: ReadonlySet<string> = new Set(['size', 'uid', 'gid', 'mtime']);
const deviceKeys: ReadonlySet<string> = new Set(['SCHILY.devmajor', 'SCHILY.devminor']);

const commonKeywords: readonly { name: string; codes: Uint8Array }[] = ['mtime', 'atime', 'ctime', 'path'].map(
  (name) => ({
    name,
    codes: new TextEncoder().encode(name),
  }),
);

/** Written by GNU tar for every entry, and of no use to a layer. */
const ignored: ReadonlySet<string> = new Set(['atime', 'ctime']);

function isRelevant(key: string): boolean {
  if (numberKeys.has(key) || deviceKeys.has(key) || key.startsWith('GNU.sparse.')) return true;
  return (key.startsWith(xattrPrefix) && key !== xattrPrefix) || key.startsWith(libarchivePrefix);
}

/** Where the record's keyword starts, where its equals sign is, and where the next record is. */
function findEquals(bytes: Uint8Array, at: number, fail: Fail): { start: number; at: number; next: number } {
  // Searched by hand, and no further than a length can reach: `indexOf` would run through a megabyte of malformed record.
  let space = at;
  while (space < bytes.length && space - at < 12 && bytes[space] !== 0x20) space++;
  const length = readDecimal(bytes, at, space);
  const next = at + length;
  // The shortest record is `5 a=\n`, but for its keyword's length.
  if (Number.isNaN(length) || next > bytes.length || next < space + 3) throw fail('a PAX record has a wrong length');
  if (bytes[next - 1] !== 0x0a) throw fail('a PAX record does not end where its length says');
  let equals = space + 1;
  while (equals < next && bytes[equals] !== 0x3d) equals++;
  if (equals === next || equals === space + 1) throw fail('a PAX record has no keyword');
  return { start: space + 1, at: equals, next };
}

/** The keyword as text. The common ones are found by their bytes, which is faster than to make strings of them. */
function keywordOf(bytes: Uint8Array, start: number, end: number): string {
  for (const { name, codes } of commonKeywords) {
    if (codes.length !== end - start) continue;
    let index = 0;
    while (index < codes.length && codes[index] === bytes[start + index]) index++;
    if (index === codes.length) return name;
  }
  return decodeText(bytes, start, end);
}

function percentDecode(name: string): string {
  if (!name.includes('%')) return name;
  const bytes = new TextEncoder().encode(name);
  const decoded: number[] = [];
  for (let at = 0; at < bytes.length; at++) {
    const code = bytes[at] === 0x25 ? Number.parseInt(decodeText(bytes, at + 1, at + 3), 16) : Number.NaN;
    decoded.push(Number.isNaN(code) ? bytes[at]! : code);
    if (!Number.isNaN(code)) at += 2;
  }
  return decodeText(Uint8Array.from(decoded));
}

function base64Decode(value: Uint8Array): Uint8Array | undefined {
  try {
    return Uint8Array.from(atob(decodeText(value)), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}
