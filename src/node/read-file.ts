/** Files on disk as content: opened only when they are read. */
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { reusing } from '../bytes/byte-source.ts';
import { StowageError } from '../errors.ts';
import { chunkBytes, diskFailed, handleChunks, isMissing, readFlags } from '../storage/node-file.ts';

/** A file's content and what else a `LayerFile` wants to know of it. */
export interface FileContent {
  /** Opens the file each time it is read, from the start; so it can be read again. Small files need not be waited for. */
  body: Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
  /** In bytes. A file that has another size by the time it is read is refused as `SIZE_MISMATCH` by what packs it. */
  size: number;
  /** Permission, set-id and sticky bits. */
  mode: number;
}

/**
 * One file on disk, links followed, for a layer under another name. Nothing is read yet.
 *
 * @throws `NOT_FOUND` where nothing is there, `FILE_INVALID` where it is no regular file, `STORAGE_FAILED` for what else the disk says.
 *
 * @example
 * import { Image } from 'stowage';
 * import { fromFile } from 'stowage/node';
 *
 * const image = await Image.scratch().copy([{ path: 'server', ...(await fromFile('./build/server')), mode: 0o755 }], '/app');
 */
export async function fromFile(path: string | URL): Promise<FileContent> {
  const absolute = localPath(path);
  const found = await stat(absolute).catch((error: unknown) => {
    throw isMissing(error) ? missing(absolute, error) : diskFailed('looking up', absolute, error);
  });
  if (!found.isFile()) {
    throw new StowageError(
      'FILE_INVALID',
      `${JSON.stringify(absolute)} is no regular file. Pack a directory by directory().`,
      { path: absolute },
    );
  }
  return {
    body: fileBody({ path: absolute, shown: absolute, expected: found.size, flags: constants.O_RDONLY }),
    size: found.size,
    mode: found.mode & 0o7777,
  };
}

/** A file that is to be read. */
interface FileToRead {
  path: string | Buffer;
  /** Its name in messages. */
  shown: string;
  /** What its size is thought to be. */
  expected: number;
  /** For `open`. With `readFlags`, the default, a link in the last place is not followed. */
  flags?: number;
}

/** The bytes of a file; where chunks are `reused`, each is good until the next is asked for only. */
export function fileBody(file: FileToRead, reused = false): FileContent['body'] {
  return file.expected < chunkBytes ? new SmallFile(file, reused) : new LargeFile(file, reused);
}

class FileBody {
  protected readonly file: FileToRead;
  protected readonly reused: boolean;

  constructor(file: FileToRead, reused: boolean) {
    this.file = file;
    this.reused = reused;
  }

  get [reusing](): FileContent['body'] {
    return fileBody(this.file, true);
  }
}

/** Memory to read small files into, not in use. */
const spare: Uint8Array[] = [];

/**
 * Of a tree of 5,000 source files most fit one chunk. One read without the thread pool takes 25 microseconds, three hops through it take 75,
 * which a fast compressor notices; and no disk keeps a process waiting longer for them than compressing them will.
 */
class SmallFile extends FileBody implements Iterable<Uint8Array> {
  *[Symbol.iterator](): Generator<Uint8Array, void, void> {
    const { path, shown, expected, flags = readFlags } = this.file;
    const memory = this.reused ? (spare.pop() ?? new Uint8Array(chunkBytes)) : undefined;
    let file: number | undefined;
    try {
      file = openSync(path, flags);
      // One byte more than expected shows in the same read that the file ends there.
      let size = expected + 1;
      for (let position = 0; file !== undefined; size = chunkBytes) {
        const bytes = memory ?? new Uint8Array(size);
        const read = readSync(file, bytes, 0, size, position);
        position += read;
        if (read === 0 || position === expected) {
          closeSync(file);
          file = undefined;
        }
        if (read > 0) yield bytes.subarray(0, read);
      }
    } catch (error) {
      throw diskFailed('reading', shown, error);
    } finally {
      if (file !== undefined) closeSync(file);
      if (memory) spare.push(memory);
    }
  }
}

class LargeFile extends FileBody implements AsyncIterable<Uint8Array> {
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    const { path, shown, expected, flags = readFlags } = this.file;
    const failed = (cause: unknown): unknown => diskFailed('reading', shown, cause);
    const handle = await open(path, flags).catch((error: unknown) => {
      throw failed(error);
    });
    yield* handleChunks(handle, { start: 0, expected, reuse: this.reused }, failed);
  }
}

/** A path or `file:` URL as an absolute path. */
export function localPath(path: string | URL): string {
  return resolve(typeof path === 'string' ? path : fileURLToPath(path));
}

export function missing(path: string, cause: unknown): StowageError {
  return new StowageError('NOT_FOUND', `Nothing is at ${JSON.stringify(path)}.`, { path }, { cause });
}
