/** What the layout's tests build image archives with, good and hostile ones, entry by entry. */
import { digestOf } from '../../src/bytes/hash.ts';
import { readTar } from '../../src/tar/read-tar.ts';
import { type TarSource, writeTar } from '../../src/tar/write-tar.ts';
import { all, bytes } from '../content/contract.ts';

/** Files of an archive by path, in their order. */
export type Files = Map<string, Uint8Array>;

export async function unpack(archive: Uint8Array | ReadableStream<Uint8Array>): Promise<Files> {
  const files: Files = new Map();
  const source = archive instanceof Uint8Array ? archive : await all(archive);
  const chunks = (async function* (): AsyncGenerator<Uint8Array> {
    yield source;
  })();
  for await (const { header, body } of readTar(chunks)) {
    if (header.type !== 'file') continue;
    const parts: Uint8Array[] = [];
    for await (const chunk of body) parts.push(chunk);
    files.set(header.path, join(parts));
  }
  return files;
}

export function entry(path: string, content: Uint8Array | string, fields: Partial<TarSource> = {}): TarSource {
  const body = typeof content === 'string' ? bytes(content) : content;
  return { path, type: 'file', mode: 0o644, uid: 0, gid: 0, mtime: 0, size: body.length, ...fields, body };
}

/** An entry that is no file. */
export function special(path: string, fields: Partial<TarSource>): TarSource {
  return { path, type: 'fifo', mode: 0o644, uid: 0, gid: 0, mtime: 0, size: 0, ...fields };
}

export async function pack(entries: Iterable<TarSource>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of writeTar(entries)) parts.push(chunk);
  return join(parts);
}

export function packFiles(files: Iterable<readonly [string, Uint8Array]>): Promise<Uint8Array> {
  return pack([...files].map(([path, content]) => entry(path, content)));
}

export function join(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

export function parse<T>(content: Uint8Array | undefined): T {
  return JSON.parse(new TextDecoder().decode(content)) as T;
}

/** Adds a JSON document as a blob and describes it. */
export function addDocument(
  files: Files,
  mediaType: string,
  document: unknown,
): { mediaType: string; digest: string; size: number } {
  const content = bytes(JSON.stringify(document));
  const digest = digestOf(content);
  files.set(`blobs/${digest.replace(':', '/')}`, content);
  return { mediaType, digest, size: content.length };
}

/** Bytes that no compressor makes smaller, the same each time (xorshift32, Marsaglia 2003). */
export function noise(size: number, seed = 0x9e3779b9): Uint8Array {
  const content = new Uint8Array(size);
  let state = seed;
  for (let index = 0; index < size; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    content[index] = state;
  }
  return content;
}
