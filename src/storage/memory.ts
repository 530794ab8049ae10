/** A storage in memory: what tests, small images and short-lived workers use. */
import { toStream } from '../bytes/byte-source.ts';
import { StowageError } from '../errors.ts';
import { inTurn, type Turns } from './in-turn.ts';
import { checkStoragePath, quotePath } from './path.ts';
import { pendingFile } from './pending.ts';
import { resolveByteRange } from './range.ts';
import type { ByteRange, CreateOptions, PendingFile, Storage } from './storage.ts';

/**
 * Files in memory, for as long as the object lives. It grows with what is written: for what may not fit, take a storage on disk.
 * `exclusive` holds within this object.
 *
 * @example
 * const storage = new MemoryStorage();
 * const file = await storage.create();
 * await file.write(new TextEncoder().encode('hello'));
 * await file.commit('greeting.txt');
 * console.log(await storage.stat('greeting.txt')); // { size: 5 }
 */
export class MemoryStorage implements Storage {
  readonly #files = new Map<string, StoredFile>();
  readonly #turns: Turns = new Map();

  async stat(path: string): Promise<{ size: number } | undefined> {
    checkStoragePath(path);
    const file = this.#files.get(path);
    return file && { size: file.size };
  }

  async read(path: string, range?: ByteRange): Promise<ReadableStream<Uint8Array>> {
    checkStoragePath(path);
    const file = this.#files.get(path);
    if (!file) throw notFound(path);
    const { start, end } = resolveByteRange(range, file.size);
    return toStream(copies(file.blocks, start, end));
  }

  async create(options: CreateOptions = {}): Promise<PendingFile> {
    let collected = new Collector();
    return pendingFile(
      {
        write: async (chunk) => collected.push(chunk),
        commit: async (path) => {
          this.#files.set(path, collected.finish());
        },
        discard: async () => {
          collected = new Collector();
        },
      },
      options.path,
    );
  }

  async *list(prefix: string): AsyncIterable<string> {
    // A snapshot, so that a caller may delete what it is listing.
    for (const path of [...this.#files.keys()]) {
      if (path.startsWith(prefix) && this.#files.has(path)) yield path;
    }
  }

  async move(from: string, to: string): Promise<void> {
    checkStoragePath(from);
    checkStoragePath(to);
    const file = this.#files.get(from);
    if (!file) throw notFound(from);
    this.#files.delete(from);
    this.#files.set(to, file);
  }

  async delete(path: string): Promise<void> {
    checkStoragePath(path);
    this.#files.delete(path);
  }

  exclusive<T>(name: string, task: () => Promise<T>): Promise<T> {
    return inTurn(this.#turns, name, task);
  }
}

function notFound(path: string): StowageError {
  return new StowageError('NOT_FOUND', `No file ${quotePath(path)} in the storage in memory.`, { path });
}

interface StoredFile {
  readonly blocks: readonly Uint8Array[];
  readonly size: number;
}

const smallestBlock = 4 * 1024;
const largestBlock = 1024 * 1024;
const readBytes = 256 * 1024;

/** Copies chunks into blocks that grow with the file, so that neither many small writes nor a small file waste much. */
class Collector {
  readonly #blocks: Uint8Array[] = [];
  #block = new Uint8Array(0);
  #used = 0;
  #size = 0;

  push(chunk: Uint8Array): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#used === this.#block.length) this.#grow(rest.length);
      const part = rest.subarray(0, this.#block.length - this.#used);
      this.#block.set(part, this.#used);
      this.#used += part.length;
      this.#size += part.length;
      rest = rest.subarray(part.length);
    }
  }

  finish(): StoredFile {
    if (this.#used > 0) {
      this.#blocks.push(this.#used < this.#block.length ? this.#block.slice(0, this.#used) : this.#block);
    }
    return { blocks: this.#blocks, size: this.#size };
  }

  #grow(wanted: number): void {
    if (this.#used > 0) this.#blocks.push(this.#block);
    const size = Math.min(Math.max(smallestBlock, wanted, this.#size), largestBlock);
    this.#block = new Uint8Array(size);
    this.#used = 0;
  }
}

/**
 * The bytes from `start` to `end` in chunks of up to 256 KiB. Copies, because a reader may write into its chunk, or transfer it
 * (a byte stream and `postMessage` both do), and neither may change the file.
 */
async function* copies(blocks: readonly Uint8Array[], start: number, end: number): AsyncGenerator<Uint8Array> {
  let offset = 0;
  for (const block of blocks) {
    if (offset >= end) return;
    const to = Math.min(block.length, end - offset);
    for (let from = Math.max(0, start - offset); from < to; from += readBytes) {
      yield block.slice(from, Math.min(from + readBytes, to));
    }
    offset += block.length;
  }
}
