/** Files on disk as content: opened only when they are read. */
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { StowageError } from '../errors.ts';
import { diskFailed, handleChunks, isMissing, readFlags } from '../storage/node-file.ts';

/** A file's content and what else a `LayerFile` wants to know of it. */
export interface FileContent {
  /** Opens the file each time it is read, from the start; so it can be read again. */
  body: AsyncIterable<Uint8Array>;
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
    body: fileBody(absolute, absolute, found.size, constants.O_RDONLY),
    size: found.size,
    mode: found.mode & 0o7777,
  };
}

/**
 * The bytes of the file at `path`, whose name in messages is `shown` and whose size is thought to be `expected`. With `readFlags`, the
 * default, a link in the last place is not followed.
 */
export function fileBody(
  path: string | Buffer,
  shown: string,
  expected: number,
  flags: number = readFlags,
): AsyncIterable<Uint8Array> {
  const failed = (cause: unknown): unknown => diskFailed('reading', shown, cause);
  return {
    async *[Symbol.asyncIterator]() {
      const whole = expected <= smallBytes ? readSmall(path, flags, expected, failed) : undefined;
      if (whole) {
        if (whole.length > 0) yield whole;
        return;
      }
      const handle = await open(path, flags).catch((error: unknown) => {
        throw failed(error);
      });
      yield* handleChunks(handle, { start: 0, expected }, failed);
    },
  };
}

/**
 * Of a tree of 5,000 source files most are this small. One read without the thread pool takes 25 microseconds, three hops through it take 75,
 * which a fast compressor notices; and no disk keeps a process waiting longer for them than compressing them will.
 */
const smallBytes = 256 * 1024;

/** The whole file, or `undefined` where it has grown past `expected`. */
function readSmall(
  path: string | Buffer,
  flags: number,
  expected: number,
  failed: (cause: unknown) => unknown,
): Uint8Array | undefined {
  try {
    const file = openSync(path, flags);
    try {
      const bytes = new Uint8Array(expected + 1);
      let length = 0;
      for (let read = -1; read !== 0 && length < bytes.length; length += read) {
        read = readSync(file, bytes, length, bytes.length - length, length);
        if (length + read === expected) return bytes.subarray(0, expected);
      }
      return length > expected ? undefined : bytes.subarray(0, length);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw failed(error);
  }
}

/** A path or `file:` URL as an absolute path. */
export function localPath(path: string | URL): string {
  return resolve(typeof path === 'string' ? path : fileURLToPath(path));
}

export function missing(path: string, cause: unknown): StowageError {
  return new StowageError('NOT_FOUND', `Nothing is at ${JSON.stringify(path)}.`, { path }, { cause });
}
