/** Reads one header block, and what extended headers said before it, into a `TarHeader`. */
import { blockSize, field } from './block.ts';
import { decodeField, decodeText } from './decode-text.ts';
import type { EntryType, TarHeader } from './entry.ts';
import { type Fail, type PaxRecords, paxNumber, paxTime, paxValue, paxXattrs } from './pax.ts';
import { readNumber } from './read-block.ts';

/** The dialect by the magic: POSIX has a prefix field, GNU has other things in its place, v7 ends after the link name. */
export type Dialect = 'v7' | 'ustar' | 'gnu';

/** What the headers before an entry's own said of it. */
export interface Extended {
  records?: PaxRecords;
  /** Of GNU's `L` and `K` entries; stronger than PAX records, as other readers have it. */
  longName?: string;
  longLink?: string;
}

export function dialectOf(block: Uint8Array, at: number): Dialect {
  const magic = at + field.magic;
  for (let index = 0; index < 5; index++) if (block[magic + index] !== ustar.charCodeAt(index)) return 'v7';
  return block[magic + 5] === 0x20 ? 'gnu' : 'ustar';
}

/**
 * The entry's metadata. `size` is what the header says, for every type. Types that neither POSIX nor GNU tar defines are
 * files, as POSIX asks; `7` (contiguous) and `S` (sparse) are files, `D` (a directory of an incremental dump) is a directory.
 */
export function readHeader(block: Uint8Array, at: number, extended: Extended, fail: Fail): TarHeader {
  const typeFlag = block[at + field.type]!;
  const dialect = dialectOf(block, at);
  const header: TarHeader = {
    path: '',
    type: types[String.fromCharCode(typeFlag)] ?? 'file',
    size: number(block, at, field.size, 12, 'size', fail),
    // Some writers put the file type's bits there too.
    mode: number(block, at, field.mode, 8, 'mode', fail) & 0o7777,
    uid: identity(block, at, field.uid, 'uid', fail),
    gid: identity(block, at, field.gid, 'gid', fail),
    mtime: number(block, at, field.mtime, 12, 'mtime', fail),
  };
  header.path = extended.longName ?? readName(block, at, dialect);
  if (header.type === 'symlink' || header.type === 'hardlink') {
    header.linkTarget = extended.longLink ?? decodeField(block, at + field.linkName, 100);
  }
  if (dialect !== 'v7') {
    const uname = decodeField(block, at + field.userName, 32);
    const gname = decodeField(block, at + field.groupName, 32);
    if (uname !== '') header.uname = uname;
    if (gname !== '') header.gname = gname;
  }
  if (header.type === 'character-device' || header.type === 'block-device') {
    const known = dialect !== 'v7';
    const major = known ? number(block, at, field.deviceMajor, 8, 'devmajor', fail) : 0;
    const minor = known ? number(block, at, field.deviceMinor, 8, 'devminor', fail) : 0;
    header.device = { major, minor };
  }
  if (extended.records !== undefined) applyRecords(header, extended, extended.records, fail);
  if (header.size < 0) throw fail('the size is negative');
  finishPath(header, dialect, typeFlag);
  return header;
}

/** Takes a directory's trailing slashes off, and makes a directory of what old tars wrote as a file with one. */
export function finishPath(header: TarHeader, dialect: Dialect, typeFlag: number): void {
  if (!header.path.endsWith('/')) return;
  // Before POSIX there was no type for directories. In ustar `0` is a file whatever its name, as Go's reader has it.
  if (typeFlag === 0 || (typeFlag === 0x30 && dialect === 'v7')) header.type = 'directory';
  if (header.type !== 'directory') return;
  let end = header.path.length;
  while (end > 1 && header.path.charCodeAt(end - 1) === 0x2f) end--;
  header.path = header.path.slice(0, end);
}

const ustar = 'ustar';

const types: Record<string, EntryType | undefined> = {
  1: 'hardlink',
  2: 'symlink',
  3: 'character-device',
  4: 'block-device',
  5: 'directory',
  6: 'fifo',
  D: 'directory',
};

function readName(block: Uint8Array, at: number, dialect: Dialect): string {
  const name = decodeField(block, at + field.name, 100);
  if (dialect !== 'ustar' || block[at + field.prefix] === 0) return name;
  // Star's header ends in `tar\0` and has times behind a shorter prefix.
  const end = at + blockSize;
  const star = block[end - 4] === 0x74 && block[end - 3] === 0x61 && block[end - 2] === 0x72 && block[end - 1] === 0;
  return `${decodeField(block, at + field.prefix, star ? 131 : 155)}/${name}`;
}

function number(block: Uint8Array, at: number, offset: number, length: number, name: string, fail: Fail): number {
  const value = readNumber(block, at + offset, length);
  if (Number.isNaN(value)) throw fail(`the field ${name} is neither octal nor a base-256 number below 2^53`);
  return value;
}

/** A user's or group's number. GNU tar writes ids past 2^31 as negative where its system's type is signed. */
function identity(block: Uint8Array, at: number, offset: number, name: string, fail: Fail): number {
  const value = number(block, at, offset, 8, name, fail);
  if (value < -0x80000000) throw fail(`the field ${name} is negative`);
  return value < 0 ? value + 0x100000000 : value;
}

function applyRecords(header: TarHeader, extended: Extended, records: PaxRecords, fail: Fail): void {
  const path = paxValue(records, 'path');
  if (path !== undefined && extended.longName === undefined) header.path = decodeText(path);
  const linkPath = paxValue(records, 'linkpath');
  if (linkPath !== undefined && header.linkTarget !== undefined && extended.longLink === undefined) {
    header.linkTarget = decodeText(linkPath);
  }
  header.size = paxNumber(records, 'size', fail) ?? header.size;
  header.uid = paxNumber(records, 'uid', fail) ?? header.uid;
  header.gid = paxNumber(records, 'gid', fail) ?? header.gid;
  const mtime = paxValue(records, 'mtime');
  if (mtime !== undefined) {
    const { seconds, nanoseconds } = paxTime(mtime, fail);
    header.mtime = seconds;
    if (nanoseconds > 0) header.nanoseconds = nanoseconds;
  }
  const uname = paxValue(records, 'uname');
  if (uname !== undefined) header.uname = decodeText(uname);
  const gname = paxValue(records, 'gname');
  if (gname !== undefined) header.gname = decodeText(gname);
  if (header.device !== undefined) {
    const major = paxNumber(records, 'SCHILY.devmajor', fail) ?? header.device.major;
    const minor = paxNumber(records, 'SCHILY.devminor', fail) ?? header.device.minor;
    header.device = { major, minor };
  }
  const xattrs = paxXattrs(records);
  if (xattrs !== undefined) header.xattrs = xattrs;
}
