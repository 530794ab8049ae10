/** The files of an image archive, unpacked into memory or a storage, with every trick of a hostile archive refused. */
import { type ByteSource, readChunks } from '../bytes/byte-source.ts';
import { decompress } from '../bytes/compression.ts';
import type { OnProgress } from '../bytes/progress.ts';
import { StowageError } from '../errors.ts';
import { type Limits, limitExceeded } from '../limits.ts';
import { MemoryStorage } from '../storage/memory.ts';
import { checkStoragePath } from '../storage/path.ts';
import type { Storage } from '../storage/storage.ts';
import { writeStorageFile } from '../storage/write.ts';
import { readTar, type TarEntry } from '../tar/read-tar.ts';

/** An archive's files by their paths in it. */
export interface Unpacked {
  storage: Storage;
  /** Where a path leads: the path itself, or what the link of that name points to, within the archive. */
  follow(path: string): string;
  cleanup(): Promise<void>;
}

export interface UnpackOptions {
  memoryThreshold: number;
  spill?: Storage;
  limits: Limits;
  signal?: AbortSignal;
  onProgress?: OnProgress;
}

/**
 * Reads a plain or compressed tar. Only files count; directories are passed over, links are kept as names (old Docker
 * archives share layers by them), and devices and fifos are refused, as no image archive has any.
 */
export async function unpackArchive(source: ByteSource, options: UnpackOptions): Promise<Unpacked> {
  const { limits, signal, onProgress } = options;
  const place = new SpillingFolder(options);
  const links = new Map<string, string>();
  try {
    const { chunks } = await decompress(readChunks(source, { signal }), { limits, signal, what: 'the archive' });
    const entries = readTar(chunks, { limits, signal, what: 'the archive' });
    for await (const { path, entry } of archiveFiles(entries, links, limits, (path) => place.storage.stat(path))) {
      const { size } = entry.header;
      await place.add(path, size, onProgress ? reported(entry.body, path, size, onProgress) : entry.body);
    }
  } catch (error) {
    // What went wrong first is what the caller has to hear of.
    await place.cleanup().catch(() => {});
    throw error;
  }
  return { storage: place.storage, follow: (path) => follow(links, path), cleanup: () => place.cleanup() };
}

async function* reported(
  body: AsyncIterable<Uint8Array>,
  path: string,
  total: number,
  onProgress: OnProgress,
): AsyncGenerator<Uint8Array, void, void> {
  let transferred = 0;
  for await (const chunk of body) {
    yield chunk;
    transferred += chunk.length;
    onProgress({ phase: 'read', path, transferred, total });
  }
}

/** The files among an archive's entries, by checked paths; its links go into `links`. `isHeld` says whether a path came before. */
export async function* archiveFiles(
  entries: AsyncIterable<TarEntry>,
  links: Map<string, string>,
  limits: Limits,
  isHeld: (path: string) => unknown,
): AsyncGenerator<{ path: string; entry: TarEntry }, void, void> {
  let count = 0;
  let linkBytes = 0;
  for await (const entry of entries) {
    const { header } = entry;
    // Names are held as long as the archive is, whatever they name.
    if (++count > limits.graphNodes) throw limitExceeded('graphNodes', limits, 'The entries of the archive');
    const path = header.type === 'directory' && isTop(header.path) ? '' : archivePath(header.path);
    if (header.type === 'directory') continue;
    if (links.has(path) || (await isHeld(path))) {
      throw new StowageError(
        'PATH_DUPLICATE',
        `The archive holds ${JSON.stringify(path)} twice, so readers may differ in which they take. Save the image anew.`,
        { path },
      );
    }
    if (header.type === 'file') {
      yield { path, entry };
    } else if (header.type === 'symlink' || header.type === 'hardlink') {
      linkBytes += path.length + (header.linkTarget as string).length;
      if (linkBytes > limits.documentBytes) throw limitExceeded('documentBytes', limits, 'The links of the archive');
      const base = header.type === 'symlink' ? path.split('/').slice(0, -1) : [];
      links.set(path, resolveLink(base, header.linkTarget as string, path));
    } else {
      throw new StowageError(
        'LAYOUT_INVALID',
        `The archive holds ${JSON.stringify(path)}, a ${header.type}, which no image archive does. Save the image anew.`,
        { path },
      );
    }
  }
}

/** `.`, `./` and so on: where an archive's paths begin. */
function isTop(path: string): boolean {
  return /^\.(\/\.?)*$/.test(path);
}

/** `./` before a path is common; all else that is not plain is hostile. */
function archivePath(path: string): string {
  const plain = path.replace(/^(?:\.\/)+/, '');
  const hostile = plain === '' || plain.startsWith('/') || /^[a-z]:|[\\\0]/i.test(plain);
  if (hostile || plain.split('/').some((segment) => segment === '' || segment === '.' || segment === '..')) {
    throw new StowageError(
      'PATH_INVALID',
      `The archive holds the path ${JSON.stringify(path)}, which is not a plain relative one. Do not trust this archive.`,
      { path },
    );
  }
  return plain;
}

function resolveLink(base: readonly string[], target: string, path: string): string {
  const segments = [...base];
  for (const segment of target.split('/')) {
    if (segment === '..' && segments.length === 0) {
      throw new StowageError(
        'PATH_INVALID',
        `The archive's link ${JSON.stringify(path)} leads out of it, to ${JSON.stringify(target)}. Do not trust this archive.`,
        { path, target },
      );
    }
    if (segment === '..') segments.pop();
    else if (segment !== '.' && segment !== '') segments.push(segment);
  }
  if (target.startsWith('/')) {
    throw new StowageError(
      'PATH_INVALID',
      `The archive's link ${JSON.stringify(path)} leads out of it, to ${JSON.stringify(target)}. Do not trust this archive.`,
      { path, target },
    );
  }
  return segments.join('/');
}

/** Where a path leads by an archive's links. Throws `LAYOUT_INVALID` for a circle of them. */
export function follow(links: ReadonlyMap<string, string>, path: string): string {
  let at = path;
  for (let hops = 0; links.has(at); hops++) {
    if (hops >= 40)
      throw new StowageError('LAYOUT_INVALID', `The archive's links go in a circle at ${JSON.stringify(path)}.`, {
        path,
      });
    at = links.get(at) as string;
  }
  return at;
}

/** Files in memory until they pass the threshold; then all of them, and what follows, in the spill storage. */
class SpillingFolder {
  readonly #options: UnpackOptions;
  readonly #prefix = `load-${randomName()}-`;
  #held = 0;
  #spilled = false;
  storage: Storage = new MemoryStorage();

  constructor(options: UnpackOptions) {
    this.#options = options;
  }

  async add(path: string, size: number, body: AsyncIterable<Uint8Array>): Promise<void> {
    this.#held += size;
    if (!this.#spilled && this.#held > this.#options.memoryThreshold) await this.#spill();
    await writeStorageFile(this.storage, path, body);
  }

  async #spill(): Promise<void> {
    const { spill, memoryThreshold } = this.#options;
    if (!spill) {
      throw new StowageError(
        'LIMIT_EXCEEDED',
        `The archive unpacks to more than memoryThreshold = ${memoryThreshold} bytes. Give a storage as \`spill\` to unpack it to, or raise the threshold if so much fits in memory.`,
        { limit: 'memoryThreshold', maximum: memoryThreshold },
      );
    }
    const memory = this.storage;
    this.storage = numbered(spill, this.#prefix);
    this.#spilled = true;
    for await (const path of memory.list('')) {
      await writeStorageFile(this.storage, path, readChunks(await memory.read(path)));
      await memory.delete(path);
    }
  }

  async cleanup(): Promise<void> {
    const paths: string[] = [];
    for await (const path of this.storage.list('')) paths.push(path);
    for (const path of paths) await this.storage.delete(path);
  }
}

/** Not `randomUUID`, which browsers keep from pages that came over plain HTTP. */
function randomName(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/**
 * A storage within a storage, whose files have numbers for names there: what an archive calls its files may be too long for
 * a disk, differ in case alone, or name a file and a folder alike, and no folders are left behind.
 */
function numbered(storage: Storage, prefix: string): Storage {
  const names = new Map<string, string>();
  let count = 0;
  return {
    async stat(path) {
      checkStoragePath(path);
      const name = names.get(path);
      return name === undefined ? undefined : storage.stat(name);
    },
    async read(path, range) {
      const name = names.get(path);
      if (name !== undefined) return storage.read(name, range);
      throw new StowageError('NOT_FOUND', `The archive holds no ${JSON.stringify(path)}.`, { path });
    },
    async create() {
      const file = await storage.create();
      return {
        write: (chunk) => file.write(chunk),
        async commit(path) {
          const name = names.get(path) ?? prefix + count++;
          await file.commit(name);
          names.set(path, name);
        },
        abort: () => file.abort(),
      };
    },
    async *list(start) {
      for (const path of [...names.keys()]) if (path.startsWith(start)) yield path;
    },
    async move(from, to) {
      const name = names.get(from);
      if (name === undefined)
        throw new StowageError('NOT_FOUND', `The archive holds no ${JSON.stringify(from)}.`, { path: from });
      const replaced = names.get(to);
      names.delete(from);
      names.set(to, name);
      if (replaced !== undefined && replaced !== name) await storage.delete(replaced);
    },
    async delete(path) {
      const name = names.get(path);
      if (name !== undefined) await storage.delete(name);
      names.delete(path);
    },
    exclusive: (name, task) => storage.exclusive(prefix + name, task),
  };
}
