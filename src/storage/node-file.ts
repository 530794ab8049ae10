/**
 * One open file on disk: its bytes as chunks, and a new file written in large pieces. Used by what reads and writes disks, in
 * Node, Deno and Bun.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { StowageError } from '../errors.ts';
import { quotePath } from './path.ts';

/** Large enough that the hop through the thread pool does not show, small enough that many files at once fit in memory. */
export const chunkBytes: number = 256 * 1024;
/** Of what is written; two of them are held for a file of some size. */
const pieceBytes = 512 * 1024;
/** So much goes to the disk at a time while more is being written: a wait of some hundredths of a second. */
const syncBytes = 32 * 1024 * 1024;

/** The path ends in what was meant: a link put in the last place is not followed, and opening a fifo does not hang. */
export const readFlags: number = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/** What part of a file to read. */
export interface HandleRange {
  start: number;
  /** A file that ends before it is a failure. Without one, all there is. */
  end?: number;
  /** Where the file is thought to end, so that a small one takes a small buffer and one read. */
  expected?: number;
  /** Whether a chunk is good until the next is asked for only. Default false: each belongs to the reader. */
  reuse?: boolean;
}

/**
 * The bytes of an open file in chunks of up to 256 KiB, read one ahead. The handle is closed at the end, on failure and by
 * `return()`, even where reading never began. `failed` makes the error to be thrown.
 */
export function handleChunks(
  handle: FileHandle,
  range: HandleRange,
  failed: (cause: unknown) => unknown,
): AsyncIterableIterator<Uint8Array> {
  const { end, expected = end, reuse } = range;
  let offset = range.start;
  let open = true;
  let reading: Promise<unknown> = Promise.resolve();
  /** Used by turns: the reader has one, the other is being filled. */
  const memory: Buffer[] = [];
  const close = async (): Promise<void> => {
    if (!open) return;
    open = false;
    await handle.close();
  };
  const read = async (): Promise<Uint8Array | undefined> => {
    if (offset === end) return undefined;
    // One byte more than expected shows in the same read that the file ends there.
    const left =
      end !== undefined
        ? end - offset
        : expected !== undefined && offset <= expected
          ? expected - offset + 1
          : chunkBytes;
    const size = Math.min(chunkBytes, left);
    const buffer = memory.length < 2 ? Buffer.allocUnsafeSlow(reuse ? chunkBytes : size) : memory.shift()!;
    if (reuse) memory.push(buffer);
    const { bytesRead } = await handle.read(buffer, 0, size, offset);
    offset += bytesRead;
    if (end === undefined && offset === expected && bytesRead < size) await close();
    // A plain Uint8Array: a Buffer's own `slice` gives a view where callers count on a copy.
    if (bytesRead > 0) return new Uint8Array(buffer.buffer, buffer.byteOffset, bytesRead);
    if (end !== undefined) throw new Error(`the file ended at byte ${offset} of ${end}`);
    return undefined;
  };
  const next = async (): Promise<IteratorResult<Uint8Array>> => {
    if (!open) return { done: true, value: undefined };
    try {
      const value = await read();
      if (value) return { done: false, value };
      await close();
      return { done: true, value: undefined };
    } catch (error) {
      await close().catch(() => {});
      throw failed(error);
    }
  };
  // One call after another, as a generator would have it: nothing may close the file under a read.
  const queued = <T>(work: () => Promise<T>): Promise<T> => {
    const result = reading.then(work, work);
    reading = result;
    return result;
  };
  // While the reader works on one chunk, the next is on its way.
  let ahead: Promise<IteratorResult<Uint8Array>> | undefined;
  return {
    next() {
      const result = ahead ?? queued(next);
      ahead = queued(next);
      ahead.catch(() => {});
      return result;
    },
    return: () =>
      queued(async () => {
        await close().catch(() => {});
        return { done: true, value: undefined };
      }),
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

/**
 * A file that is being written: chunks are gathered into pieces, of which one goes to the file while the next is filled. Large chunks
 * go straight to the file. Where it is to be durable, it is brought to the disk while it grows, so that little is left to wait for at its end.
 */
export class FileWriter {
  readonly path: string;
  readonly #handle: FileHandle;
  readonly #durable: boolean;
  readonly #failed: (cause: unknown) => unknown;
  #gathered: Uint8Array | undefined;
  #used = 0;
  /** The piece that is not being filled. */
  #other: Uint8Array | undefined;
  /** The piece on its way to the disk, if any. */
  #flushed: Promise<void> = Promise.resolve();
  #tail: Promise<void> = Promise.resolve();
  #open = true;
  /** Bytes written since the disk was last waited for. */
  #unsynced = 0;
  /** The wait for the disk, if there is one. */
  #syncing: Promise<void> | undefined;

  private constructor(path: string, handle: FileHandle, durable: boolean, failed: (cause: unknown) => unknown) {
    this.path = path;
    this.#handle = handle;
    this.#durable = durable;
    this.#failed = failed;
  }

  /**
   * Creates `path`, which must not be there. `finish` waits for the disk where `durable`. `failed` makes the errors that writing throws; this call
   * throws the platform's own.
   */
  static async create(path: string, durable: boolean, failed: (cause: unknown) => unknown): Promise<FileWriter> {
    return new FileWriter(path, await open(path, 'wx'), durable, failed);
  }

  /** Calls may overlap: they are written in the order of the calls, and after one has failed all others do. */
  write(chunk: Uint8Array): Promise<void> {
    const written = this.#tail.then(() => this.#write(chunk));
    this.#tail = written;
    // The failure belongs to the caller of this write, and to that of the next one; nobody else need hear of it.
    written.catch(() => {});
    return written;
  }

  /** Writes what is left, brings it to the disk where the file is durable, and closes it. Sets its permission bits to `mode` where given. */
  async finish(options: { mode?: number } = {}): Promise<void> {
    await this.#tail;
    try {
      this.#flush();
      await this.#flushed;
      if (options.mode !== undefined) await this.#handle.chmod(options.mode);
      // Its failure is told once, and not by the next wait.
      await this.#syncing;
      if (this.#durable) await this.#handle.sync();
      this.#open = false;
      await this.#handle.close();
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /** Closes and removes the file. Never throws. */
  async discard(): Promise<void> {
    await this.#tail.catch(() => {});
    await this.#flushed.catch(() => {});
    await this.#syncing?.catch(() => {});
    this.#gathered = undefined;
    this.#other = undefined;
    if (this.#open) {
      this.#open = false;
      await this.#handle.close().catch(() => {});
    }
    await unlink(this.path).catch(() => {});
  }

  async #write(chunk: Uint8Array): Promise<void> {
    try {
      if (this.#used + chunk.length > pieceBytes) {
        await this.#flushed;
        this.#flush();
      }
      if (chunk.length >= pieceBytes) {
        await this.#flushed;
        await this.#writeAll(chunk);
      } else if (chunk.length > 0) {
        this.#gathered ??= Buffer.allocUnsafeSlow(pieceBytes);
        this.#gathered.set(chunk, this.#used);
        this.#used += chunk.length;
      }
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /** Sends what was gathered to the disk, after what is on its way. */
  #flush(): void {
    if (this.#used === 0) return;
    const bytes = this.#gathered!.subarray(0, this.#used);
    [this.#gathered, this.#other] = [this.#other, this.#gathered];
    this.#used = 0;
    this.#flushed = this.#flushed.then(() => this.#writeAll(bytes));
    // It is the next write that fails, or `finish`.
    this.#flushed.catch(() => {});
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    let offset = 0;
    while (offset < bytes.length) {
      const { bytesWritten } = await this.#handle.write(bytes, offset, bytes.length - offset);
      offset += bytesWritten;
    }
    this.#unsynced += bytes.length;
    if (this.#durable && this.#unsynced >= syncBytes && this.#syncing === undefined) this.#syncAhead();
  }

  /** After a failure, which is for `finish` to tell, none is tried any more. */
  #syncAhead(): void {
    this.#unsynced = 0;
    this.#syncing = this.#handle.datasync();
    this.#syncing.then(
      () => {
        this.#syncing = undefined;
      },
      () => {},
    );
  }
}

/** Brings a directory's entries to the disk, where the platform can say that: what was renamed into it survives a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch (error) {
    if (notForDirectories.has(errorCode(error))) return;
    throw error;
  }
  try {
    await handle.sync();
  } catch (error) {
    if (!notForDirectories.has(errorCode(error))) throw error;
  } finally {
    await handle.close();
  }
}

/** Windows and some network file systems do not sync a directory and answer with one of these. */
const notForDirectories = new Set(['EPERM', 'EISDIR', 'EINVAL', 'EBADF', 'ENOTSUP', 'ENOSYS', 'EACCES']);

/** The platform's name for an error (`ENOENT`), or `''`. */
export function errorCode(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : '';
}

/** Whether the error says that nothing is there: the name is free, or something on the way to it is no directory. */
export function isMissing(error: unknown): boolean {
  const code = errorCode(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** `STORAGE_FAILED` for what the platform answered to `doing` (`reading`), unless the error is one of ours already. */
export function diskFailed(doing: string, path: string | undefined, cause: unknown): StowageError {
  if (cause instanceof StowageError) return cause;
  const code = errorCode(cause);
  const what = path === undefined ? doing : `${doing} ${quotePath(path)}`;
  const reason = cause instanceof Error ? cause.message : String(cause);
  const advice = advices[code] ?? 'Put right what the message names and run it again.';
  return new StowageError('STORAGE_FAILED', `Failed at ${what}: ${reason}. ${advice}`, { path, code }, { cause });
}

const advices: Record<string, string> = {
  ENOSPC: 'The disk is full: make room and run it again.',
  EDQUOT: 'The disk quota is used up: make room and run it again.',
  EFBIG: 'The file passes the largest size that is allowed here: raise that limit or store it elsewhere.',
  EACCES: 'Give this process the right to it, or choose another directory.',
  EPERM: 'Give this process the right to it, or choose another directory.',
  EROFS: 'The file system is read-only: choose another directory.',
  EISDIR: 'A directory stands where the file should go: move it away or choose another name.',
  ENOTDIR: 'A file stands where a directory should be: move it away or choose another name.',
  EMFILE: 'Too many files are open: read streams to their end or cancel them, or raise the limit.',
  ENFILE: 'Too many files are open on this machine: close some or raise the limit.',
  EXDEV: 'A part of the directory lies on another file system: give each its own storage.',
};
