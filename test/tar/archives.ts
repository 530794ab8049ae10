/** What the tar tests build archives with and take them apart with, in plain bytes. */

import type { Limits } from '../../src/limits.ts';
import { TarDecoder } from '../../src/tar/decoder.ts';
import { TarEncoder } from '../../src/tar/encoder.ts';
import type { TarHeader } from '../../src/tar/entry.ts';
import type { TarSource } from '../../src/tar/write-tar.ts';

export interface ReadEntry {
  header: TarHeader;
  offset: number;
  bodyOffset: number;
  sparse: boolean;
  body: Uint8Array;
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

export function join(...parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Compares long arrays, which `toEqual` does byte by byte, slowly. */
export function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

/** An entry with defaults for all that a test does not speak of. */
export function entry(path: string, fields: Partial<TarSource> = {}): TarSource & { body?: Uint8Array } {
  const body = fields.body as Uint8Array | undefined;
  return { path, type: 'file', size: body?.length ?? 0, mode: 0o644, uid: 0, gid: 0, mtime: 0, ...fields, body };
}

export function encode(...entries: readonly TarSource[]): Uint8Array {
  const parts: Uint8Array[] = [];
  const encoder = new TarEncoder((bytes) => parts.push(bytes));
  for (const { body, ...header } of entries) {
    encoder.entry(header);
    if (body !== undefined) encoder.write(body as Uint8Array);
  }
  encoder.finish();
  return join(...parts);
}

/** Decodes an archive that is pushed in pieces cut at the given places (all at once unless told). */
export function decode(
  archive: Uint8Array,
  options: { limits?: Partial<Limits>; what?: string; cuts?: readonly number[] } = {},
): ReadEntry[] {
  const decoder = new TarDecoder(options);
  const entries: ReadEntry[] = [];
  const drain = (): void => {
    for (let event = decoder.next(); event !== undefined; event = decoder.next()) {
      if (event.type === 'entry') {
        const { header, offset, bodyOffset, sparse } = event;
        entries.push({ header, offset, bodyOffset, sparse, body: new Uint8Array(0) });
      } else if (event.type === 'body') {
        const last = entries.at(-1)!;
        last.body = join(last.body, event.bytes);
      }
    }
  };
  let start = 0;
  for (const cut of [...(options.cuts ?? []), archive.length]) {
    decoder.push(archive.subarray(start, cut));
    drain();
    start = cut;
  }
  decoder.end();
  drain();
  return entries;
}

/** Fields of a header block, as the bytes of strings; what is not given is NUL. */
export interface RawHeader {
  name?: string;
  mode?: string;
  uid?: string;
  gid?: string;
  size?: string;
  mtime?: string;
  type?: string;
  linkName?: string;
  magic?: string;
  uname?: string;
  gname?: string;
  major?: string;
  minor?: string;
  prefix?: string;
}

const places: Record<keyof RawHeader, number> = {
  name: 0,
  mode: 100,
  uid: 108,
  gid: 116,
  size: 124,
  mtime: 136,
  type: 156,
  linkName: 157,
  magic: 257,
  uname: 265,
  gname: 297,
  major: 329,
  minor: 337,
  prefix: 345,
};

/** One header block, written here byte by byte so that no code under test has a hand in it. */
export function rawHeader(fields: RawHeader, checksum: 'unsigned' | 'signed' = 'unsigned'): Uint8Array {
  const block = new Uint8Array(512);
  const defaults: RawHeader = {
    mode: '0000644\0',
    uid: '0000000\0',
    gid: '0000000\0',
    mtime: '00000000000\0',
    type: '0',
  };
  const all: RawHeader = { size: '00000000000\0', magic: 'ustar\x0000', ...defaults, ...fields };
  for (const key of Object.keys(all) as (keyof RawHeader)[]) block.set(latin1(all[key]!), places[key]);
  return seal(block, checksum);
}

/** Puts the checksum into a header block. */
export function seal(block: Uint8Array, checksum: 'unsigned' | 'signed' = 'unsigned'): Uint8Array {
  block.fill(0x20, 148, 156);
  const values = checksum === 'signed' ? new Int8Array(block.buffer, block.byteOffset, 512) : block;
  let sum = 0;
  for (let at = 0; at < 512; at++) sum += values[at]!;
  block.set(latin1(`${sum.toString(8).padStart(6, '0')}\0 `), 148);
  return block;
}

export function octal(value: number, digits = 11): string {
  return `${value.toString(8).padStart(digits, '0')}\0`;
}

/** Content padded to whole blocks. */
export function padded(content: Uint8Array): Uint8Array {
  const block = new Uint8Array(Math.ceil(content.length / 512) * 512);
  block.set(content);
  return block;
}

/** A metadata entry: header and padded content. */
export function meta(type: string, content: Uint8Array): Uint8Array {
  return join(rawHeader({ name: 'meta', type, size: octal(content.length) }), padded(content));
}

/** PAX records; a value may be text or bytes. */
export function pax(records: readonly (readonly [string, string | Uint8Array])[]): Uint8Array {
  return join(
    ...records.map(([key, value]) => {
      const rest = join(bytesOf(` ${key}=`), typeof value === 'string' ? bytesOf(value) : value, bytesOf('\n'));
      let length = rest.length + 1;
      while (String(length).length + rest.length !== length) length++;
      return join(bytesOf(String(length)), rest);
    }),
  );
}

export const end: Uint8Array = new Uint8Array(1024);
