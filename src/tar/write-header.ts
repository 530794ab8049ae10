/** Writes a `TarHeader` as ustar, and as PAX records what ustar cannot say (POSIX pax, "ustar Interchange Format"). */
import { checksumOf, field, octalMaximum, writeOctal } from './block.ts';
import { fileInvalid } from './check-header.ts';
import type { EntryType, TarHeader } from './entry.ts';
import { encodeText, isEscaped, isPlain } from './text.ts';
import { formatPax, formatTime, xattrPrefix } from './write-pax.ts';

/** A header made ready: what goes into its block, and the body of the extended header before it, if it needs one. */
export interface PlannedHeader {
  header: TarHeader;
  prefix: Text;
  name: Text;
  linkName: Text;
  userName: Text;
  groupName: Text;
  extended?: Uint8Array;
}

/** ASCII as a string, which is written without a detour; anything else as bytes. */
type Text = string | Uint8Array;
type Records = [key: Uint8Array, value: Uint8Array][];

/** @throws `FILE_INVALID` for a name with a lone surrogate that stands for no byte. */
export function planHeader(header: TarHeader): PlannedHeader {
  const records: Records = [];
  const plan: PlannedHeader = {
    header,
    prefix: '',
    name: '',
    linkName: header.linkTarget ? planText(header, 'linkpath', header.linkTarget, 100, records) : '',
    // These two must end in a NUL, unlike names.
    userName: header.uname ? planText(header, 'uname', header.uname, 31, records) : '',
    groupName: header.gname ? planText(header, 'gname', header.gname, 31, records) : '',
  };
  planPath(plan, records);
  if (header.uid > idMaximum) records.push(record('uid', String(header.uid)));
  if (header.gid > idMaximum) records.push(record('gid', String(header.gid)));
  if (header.size > longMaximum) records.push(record('size', String(header.size)));
  if (header.nanoseconds || header.mtime < 0 || header.mtime > longMaximum) {
    records.push(record('mtime', formatTime(header.mtime, header.nanoseconds ?? 0)));
  }
  if (header.xattrs !== undefined) {
    for (const [name, value] of Object.entries(header.xattrs)) {
      const key = encodeText(xattrPrefix + name);
      if (key === undefined) throw fileInvalid(header, `xattrs[${JSON.stringify(name)}]`, 'is no Unicode');
      records.push([key, value]);
    }
  }
  if (records.length > 0) plan.extended = formatPax(records);
  return plan;
}

/** Writes the entry's own header into 512 zero bytes at `at`. */
export function writeHeader(block: Uint8Array, at: number, plan: PlannedHeader): void {
  const { header } = plan;
  writeText(block, at + field.name, plan.name);
  writeOctal(block, at + field.mode, 7, header.mode);
  // What a PAX record says is 0 here.
  writeOctal(block, at + field.uid, 7, header.uid > idMaximum ? 0 : header.uid);
  writeOctal(block, at + field.gid, 7, header.gid > idMaximum ? 0 : header.gid);
  writeOctal(block, at + field.size, 11, header.size > longMaximum ? 0 : header.size);
  writeOctal(block, at + field.mtime, 11, header.mtime < 0 || header.mtime > longMaximum ? 0 : header.mtime);
  block[at + field.type] = typeFlags[header.type];
  writeText(block, at + field.linkName, plan.linkName);
  writeText(block, at + field.userName, plan.userName);
  writeText(block, at + field.groupName, plan.groupName);
  writeText(block, at + field.prefix, plan.prefix);
  finishHeader(block, at, header.device?.major ?? 0, header.device?.minor ?? 0);
}

/** Writes the header of the extended header: nothing in it depends on anything but the entry's name and the size. */
export function writeExtendedHeader(block: Uint8Array, at: number, plan: PlannedHeader, size: number): void {
  const path = plan.header.path.replace(/\/+$/, '');
  const name = encodeText(path.slice(path.lastIndexOf('/') + 1))!;
  writeText(block, at + field.name, `PaxHeaders.0/${asciiOf(name, 100 - 13)}`);
  writeOctal(block, at + field.mode, 7, 0o644);
  writeOctal(block, at + field.uid, 7, 0);
  writeOctal(block, at + field.gid, 7, 0);
  writeOctal(block, at + field.size, 11, size);
  writeOctal(block, at + field.mtime, 11, 0);
  block[at + field.type] = 0x78;
  finishHeader(block, at, 0, 0);
}

const idMaximum = octalMaximum(7);
/** 8 GiB less one byte, or the year 2242. */
const longMaximum = octalMaximum(11);

const typeFlags: Readonly<Record<EntryType, number>> = {
  file: 0x30,
  hardlink: 0x31,
  symlink: 0x32,
  'character-device': 0x33,
  'block-device': 0x34,
  directory: 0x35,
  fifo: 0x36,
};

function planPath(plan: PlannedHeader, records: Records): void {
  const { header } = plan;
  const path = header.type === 'directory' ? `${header.path.replace(/\/+$/, '')}/` : header.path;
  const text = isPlain(path) ? path : encodeName(header, 'path', path);
  // A name that is not UTF-8 goes into the ustar header as it is, which every reader takes as bytes.
  if (typeof text === 'string' || isEscaped(path)) {
    const split = splitPoint(text);
    if (split !== undefined) {
      plan.prefix = text.slice(0, Math.max(split, 0));
      plan.name = text.slice(split + 1);
      return;
    }
  }
  plan.name = extend(records, 'path', path, text, 100);
}

/** Where the slash is that parts prefix from name; -1 for a name that needs no prefix, `undefined` for one too long. */
function splitPoint(path: Text): number | undefined {
  if (path.length <= 100) return -1;
  // A directory's last slash is part of its name.
  const last = Math.min(155, path.length - 2);
  const slash = typeof path === 'string' ? path.lastIndexOf('/', last) : path.lastIndexOf(0x2f, last);
  return slash > 0 && path.length - slash - 1 <= 100 ? slash : undefined;
}

function planText(header: TarHeader, key: string, value: string, room: number, records: Records): Text {
  const text = isPlain(value) ? value : encodeName(header, key === 'linkpath' ? 'linkTarget' : key, value);
  if (text.length <= room && (typeof text === 'string' || isEscaped(value))) return text;
  return extend(records, key, value, text, room);
}

/** Says a name by a record, and returns an ASCII likeness of it for readers that know no PAX. */
function extend(records: Records, key: string, value: string, text: Text, room: number): string {
  const bytes = typeof text === 'string' ? utf8.encode(text) : text;
  // POSIX: values that are not UTF-8 are announced. Readers disagree on how, so this is the last resort.
  if (isEscaped(value) && !records.some(([other]) => other === charsetKey)) records.push([charsetKey, binary]);
  records.push([utf8.encode(key), bytes]);
  return asciiOf(bytes, room);
}

function encodeName(header: TarHeader, name: string, value: string): Uint8Array {
  const bytes = encodeText(value);
  if (bytes === undefined) throw fileInvalid(header, name, 'holds half of a surrogate pair, which is no Unicode');
  return bytes;
}

const utf8 = new TextEncoder();
const charsetKey: Uint8Array = utf8.encode('hdrcharset');
const binary: Uint8Array = utf8.encode('BINARY');

function record(key: string, value: string): [Uint8Array, Uint8Array] {
  return [utf8.encode(key), utf8.encode(value)];
}

function asciiOf(bytes: Uint8Array, room: number): string {
  let text = '';
  for (const byte of bytes.subarray(0, room)) text += byte > 0x7f ? '_' : String.fromCharCode(byte);
  return text;
}

function writeText(block: Uint8Array, at: number, text: Text): void {
  if (typeof text !== 'string') {
    block.set(text, at);
    return;
  }
  for (let index = 0; index < text.length; index++) block[at + index] = text.charCodeAt(index);
}

function finishHeader(block: Uint8Array, at: number, major: number, minor: number): void {
  // Magic `ustar\0` and version `00`.
  writeText(block, at + field.magic, 'ustar');
  block[at + field.magic + 6] = 0x30;
  block[at + field.magic + 7] = 0x30;
  writeOctal(block, at + field.deviceMajor, 7, major);
  writeOctal(block, at + field.deviceMinor, 7, minor);
  writeOctal(block, at + field.checksum, 6, checksumOf(block, at));
  // Six digits, NUL, space.
  block[at + field.checksum + 7] = 0x20;
}
