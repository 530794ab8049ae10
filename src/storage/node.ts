/** A storage in a directory on disk, for Node, Deno and Bun. */
import { createHash } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { lstat, mkdir, open, opendir, realpath, rename, rmdir, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { toStream } from '../bytes/byte-source.ts';
import { StowageError } from '../errors.ts';
import { inTurn, type Turns } from './in-turn.ts';
import { diskFailed, errorCode, FileWriter, handleChunks, isMissing, readFlags, syncDirectory } from './node-file.ts';
import { acquireLock, sweep, temporaryName } from './node-lock.ts';
import { quotePath, storagePathFault } from './path.ts';
import { pendingFile } from './pending.ts';
import { resolveByteRange } from './range.ts';
import type { ByteRange, CreateOptions, PendingFile, Storage } from './storage.ts';
import { checkFilePath, isInWorkFolder, workFolder } from './work-folder.ts';

/** How a `NodeStorage` writes. */
export interface NodeStorageOptions {
  /**
   * Whether `commit` waits until file and directory have reached the disk, so that a power cut cannot take back what it reported.
   * Default `true`. `false` is faster, and safe against a crash of the process, not of the machine.
   */
  durable?: boolean;
}

/**
 * Files under a directory, which is made with the first file that is written; until then it lists nothing.
 *
 * A file is written under `.stowage/` in the root and renamed when it is whole: a crash leaves the old file or the new one. What a
 * dead process left there is removed with the first write, and the folder itself goes when it is empty. Symlinks in the root are
 * followed as long as they stay in the root; one that leads outside is refused with `PATH_INVALID`.
 * `exclusive` holds across objects, threads and processes. A holder that died is succeeded at once where its process can be seen,
 * after a minute of silence where it cannot (another machine or container, or before a reboot).
 * What the disk refuses is `STORAGE_FAILED`, with the path as given and the platform's error as `cause`.
 *
 * A stream from `read` holds an open file until it is read to its end or cancelled.
 *
 * @example
 * import { NodeStorage } from 'stowage/storage/node';
 *
 * const storage = new NodeStorage('./image');
 * const file = await storage.create();
 * await file.write(new TextEncoder().encode('{"imageLayoutVersion":"1.0.0"}'));
 * await file.commit('oci-layout');
 */
export class NodeStorage implements Storage {
  /** The directory, as an absolute path. */
  readonly root: string;
  readonly #durable: boolean;
  readonly #work: string;
  #realRoot: string | undefined;
  #swept: Promise<void> | undefined;
  /** Files and locks of this object that lie in the work folder, or are about to. */
  #active = 0;

  constructor(root: string | URL, options: NodeStorageOptions = {}) {
    this.root = resolve(typeof root === 'string' ? root : fileURLToPath(root));
    this.#work = join(this.root, workFolder);
    this.#durable = options.durable ?? true;
  }

  async stat(path: string): Promise<{ size: number } | undefined> {
    checkFilePath(path);
    try {
      const found = await stat(await this.#locate(path));
      return found.isFile() ? { size: found.size } : undefined;
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw diskFailed('looking up', path, error);
    }
  }

  async read(path: string, range?: ByteRange): Promise<ReadableStream<Uint8Array>> {
    checkFilePath(path);
    try {
      const handle = await open(await this.#locate(path), readFlags);
      try {
        const found = await handle.stat();
        if (!found.isFile()) throw notFound(path, this.root);
        const { start, end } = resolveByteRange(range, found.size);
        const chunks = handleChunks(handle, { start, end }, (cause) => diskFailed('reading', path, cause));
        return toStream(end - start > heldBytes ? chunks : await held(chunks));
      } catch (error) {
        await handle.close().catch(() => {});
        throw error;
      }
    } catch (error) {
      if (isMissing(error)) throw notFound(path, this.root, error);
      throw diskFailed('reading', path, error);
    }
  }

  async create(options: CreateOptions = {}): Promise<PendingFile> {
    this.#active++;
    const durable = this.#durable && options.durable !== false;
    let writer: FileWriter;
    try {
      writer = await this.#createTemporary(durable);
    } catch (error) {
      await this.#leave();
      throw diskFailed('creating a file in', this.root, error);
    }
    return pendingFile(
      {
        write: (chunk) => writer.write(chunk),
        commit: async (path) => {
          checkFilePath(path);
          try {
            await writer.finish();
            await this.#place(writer.path, path, durable);
          } catch (error) {
            throw diskFailed('committing', path, error);
          }
          await this.#leave();
        },
        discard: async () => {
          await writer.discard();
          await this.#leave();
        },
      },
      options.path,
    );
  }

  async *list(prefix: string): AsyncIterable<string> {
    const parent = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    // No file has a path that starts like this, so none is listed, and no directory outside is opened.
    if (parent !== '' && storagePathFault(parent.slice(0, -1)) !== undefined) return;
    yield* this.#walk(parent, prefix);
  }

  async move(from: string, to: string): Promise<void> {
    checkFilePath(from);
    checkFilePath(to);
    if (!(await this.stat(from))) throw notFound(from, this.root);
    if (from === to) return;
    try {
      const parent = await this.#resolve(dirname(from), from);
      const named = join(parent, basename(from));
      const real = await this.#locate(from);
      // A power cut may leave the file under both names, which the contract has room for.
      await this.#place(real, to, this.#durable);
      // What has the name is a link to what was moved.
      if (real !== named) await unlink(named);
    } catch (error) {
      // Moved or deleted by another since it was looked up.
      if (errorCode(error) === 'ENOENT') throw notFound(from, this.root, error);
      throw diskFailed('moving', from, error);
    }
  }

  async delete(path: string): Promise<void> {
    checkFilePath(path);
    try {
      const parent = await this.#resolve(dirname(path), path);
      const target = join(parent, basename(path));
      // unlink(2) of a directory is an error that each system calls by another name.
      if ((await lstat(target)).isDirectory()) return;
      await unlink(target);
      if (this.#durable) await syncDirectory(parent);
    } catch (error) {
      if (!isMissing(error)) throw diskFailed('deleting', path, error);
    }
  }

  exclusive<T>(name: string, task: () => Promise<T>): Promise<T> {
    // Only the first in this process need wait for other processes.
    return inTurn(turns, `${this.root}\0${name}`, async () => {
      this.#active++;
      try {
        const release = await this.#lock(name);
        try {
          return await task();
        } finally {
          await release();
        }
      } finally {
        await this.#leave();
      }
    });
  }

  async #lock(name: string): Promise<() => Promise<void>> {
    const file = `lock-${createHash('sha256').update(name).digest('hex')}`;
    try {
      await this.#sweep();
      const release = await acquireLock(this.#work, file, () => this.#makeWorkFolder());
      return () => release().catch((error: unknown) => Promise.reject(diskFailed('unlocking', name, error)));
    } catch (error) {
      throw diskFailed('locking', name, error);
    }
  }

  /** Where the file really is, links followed. Throws the platform's error where it is not, `PATH_INVALID` where it is outside. */
  #locate(path: string): Promise<string> {
    return this.#resolve(path, path);
  }

  async #resolve(inside: string, path: string): Promise<string> {
    this.#realRoot ??= await realpath(this.root);
    const real = await realpath(join(this.#realRoot, inside));
    const root = this.#realRoot;
    if (real === root || real.startsWith(root.endsWith(sep) ? root : root + sep)) return real;
    throw new StowageError(
      'PATH_INVALID',
      `Storage path ${quotePath(path)} leads out of ${quotePath(this.root)} through a symlink. Remove the link, or open the directory that it points to as a storage of its own.`,
      { path, root: this.root },
    );
  }

  /** Renames a finished file to its place, whose directories are made. */
  async #place(file: string, path: string, durable: boolean): Promise<void> {
    const parent = await this.#makeDirectory(dirname(path), path);
    await rename(file, join(parent, basename(path)));
    if (durable) await syncDirectory(parent);
  }

  /** The real path of a directory in the root. Each missing one is made only after its parent was seen to lie in the root. */
  async #makeDirectory(directory: string, path: string): Promise<string> {
    try {
      return await this.#resolve(directory, path);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT' || directory === '.') throw error;
    }
    const parent = await this.#makeDirectory(dirname(directory), path);
    try {
      await mkdir(join(parent, basename(directory)));
      if (this.#durable) await syncDirectory(parent);
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error;
    }
    return this.#resolve(directory, path);
  }

  async #createTemporary(durable: boolean): Promise<FileWriter> {
    await this.#sweep();
    const path = join(this.#work, await temporaryName());
    for (;;) {
      try {
        return await FileWriter.create(path, durable, (cause) => diskFailed('writing a file in', this.root, cause));
      } catch (error) {
        // Not there yet, or tidied away by another process while it was empty.
        if (errorCode(error) !== 'ENOENT') throw error;
        await this.#makeWorkFolder();
      }
    }
  }

  async #makeWorkFolder(): Promise<void> {
    const first = await mkdir(this.#work, { recursive: true });
    if (first === undefined || first === this.#work || !this.#durable) return;
    // The root is new: each directory above it learnt a name that must last as long as what will lie in it.
    for (let made = this.root; ; made = dirname(made)) {
      await syncDirectory(dirname(made));
      if (made === first || made === dirname(made)) return;
    }
  }

  #sweep(): Promise<void> {
    this.#swept ??= sweep(this.#work).catch(() => {});
    return this.#swept;
  }

  async #leave(): Promise<void> {
    this.#active--;
    if (this.#active === 0) await rmdir(this.#work).catch(() => {});
  }

  async *#walk(parent: string, prefix: string): AsyncIterable<string> {
    let entries: AsyncIterable<Dirent>;
    try {
      entries = await opendir(await this.#resolve(parent, parent));
    } catch (error) {
      // Gone since it was listed, or a link that leads outside: nothing in there can be read.
      if (isMissing(error) || error instanceof StowageError) return;
      throw diskFailed('listing', parent, error);
    }
    try {
      for await (const entry of entries) {
        const path = parent + entry.name;
        if (!(path.startsWith(prefix) || prefix.startsWith(`${path}/`)) || !isNameable(path)) continue;
        if (entry.isDirectory()) yield* this.#walk(`${path}/`, prefix);
        else if (await this.#isReadable(entry, path)) yield path;
      }
    } catch (error) {
      throw diskFailed('listing', parent, error);
    }
  }

  /** A link may lead to a file; and U+FFFD may stand for bytes that are no UTF-8, so that no path names the file. */
  async #isReadable(entry: Dirent, path: string): Promise<boolean> {
    if (entry.isFile() && !entry.name.includes('\ufffd')) return true;
    if (!entry.isFile() && !entry.isSymbolicLink()) return false;
    return (await this.stat(path).catch(() => undefined)) !== undefined;
  }
}

/** Whether a name found on disk is one that the storage takes. */
function isNameable(path: string): boolean {
  return storagePathFault(path) === undefined && !isInWorkFolder(path);
}

/** Up to here a file is read at once and closed: what is dropped unread, as a document may be, then leaks nothing. */
const heldBytes = 64 * 1024;

async function held(chunks: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  const read: Uint8Array[] = [];
  for await (const chunk of chunks) read.push(chunk);
  return (async function* () {
    yield* read;
  })();
}

/** Of all storages of this process: two objects may share a directory. */
const turns: Turns = new Map();

function notFound(path: string, root: string, cause?: unknown): StowageError {
  return new StowageError('NOT_FOUND', `No file ${quotePath(path)} in ${quotePath(root)}.`, { path, root }, { cause });
}
