/** A storage in the browser's file system: the origin private one (OPFS), or a folder that the user picked. */
import { toStream } from '../bytes/byte-source.ts';
import { StowageError } from '../errors.ts';
import { errorName, fileSystemFailed, isAbsent, patiently, quotaExceeded } from './opfs-failure.ts';
import { BlockWriter, type WritableHandle } from './opfs-file.ts';
import { removeWorkFolder, sweepLeftovers, temporaryFile, webLocks } from './opfs-lock.ts';
import { checkMayWrite, mayWrite } from './opfs-permission.ts';
import { quotePath, storagePathFault } from './path.ts';
import { pendingFile } from './pending.ts';
import { resolveByteRange } from './range.ts';
import type { ByteRange, CreateOptions, PendingFile, Storage } from './storage.ts';
import { checkFilePath, isInWorkFolder, workFolder } from './work-folder.ts';

/**
 * Files under a directory handle: without one, the root of the origin private file system, which no other site and no user sees.
 * Takes what `navigator.storage.getDirectory()`, `getDirectoryHandle()` and `showDirectoryPicker()` give; asking the user for
 * the right to write is the caller's. Works in windows and in Workers.
 *
 * A file is written under `.stowage/` in the directory and moved when it is whole. What a closed tab left there is removed when a
 * storage of the same directory is used again; the folder itself goes when it is empty. Where the platform cannot move (a picked
 * folder in some browsers) the file is copied: a new one is then seen empty for as long as that takes.
 *
 * `exclusive` holds across tabs and Workers of the site. Picked folders are told apart by their names alone, so two of the same
 * name wait for one another, and a task that holds a name in one must not ask for it in the other.
 *
 * A stream from `read` fails with `STORAGE_FAILED` where the file is replaced meanwhile, but for files up to 4 MiB, which are
 * read at once.
 *
 * Errors: `RUNTIME_UNSUPPORTED` where there is no such file system, or none that can be written here; `PERMISSION_DENIED` where it is
 * refused (private windows; a folder that may not be written to, or no longer, of which the user is never asked here); `QUOTA_EXCEEDED` with `needed` and `left` in bytes;
 * `STORAGE_FAILED` for what else the platform refuses, its error as `cause`.
 *
 * @example
 * import { Layout } from 'stowage';
 * import { OpfsStorage } from 'stowage/storage/opfs';
 *
 * const root = await navigator.storage.getDirectory();
 * const layout = await Layout.create(new OpfsStorage(await root.getDirectoryHandle('images', { create: true })));
 */
export class OpfsStorage implements Storage {
  readonly #given: FileSystemDirectoryHandle | undefined;
  #opened: Promise<FileSystemDirectoryHandle> | undefined;
  #place: Promise<string> | undefined;
  #swept: Promise<void> | undefined;
  /** Files of this object that lie in the work folder, or are about to. */
  #active = 0;

  constructor(directory?: FileSystemDirectoryHandle) {
    this.#given = directory;
  }

  async stat(path: string): Promise<{ size: number } | undefined> {
    checkFilePath(path);
    try {
      const handle = await this.#find(path);
      return handle && { size: (await handle.getFile()).size };
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw fileSystemFailed('looking up', path, error);
    }
  }

  async read(path: string, range?: ByteRange): Promise<ReadableStream<Uint8Array>> {
    checkFilePath(path);
    for (let attempt = 1; ; attempt++) {
      try {
        const handle = await this.#find(path);
        if (!handle) throw notFound(path);
        const file = await handle.getFile();
        const { start, end } = resolveByteRange(range, file.size);
        if (end - start > heldBytes) return toStream(slices(file, start, end, path));
        return toStream(only(await bytesOf(file, start, end)));
      } catch (error) {
        // Replaced between the look and the read: what is there now is read instead.
        if (attempt < 20 && replaced.has(errorName(error))) continue;
        if (isAbsent(error)) throw notFound(path, error);
        throw fileSystemFailed('reading', path, error);
      }
    }
  }

  async create(options: CreateOptions = {}): Promise<PendingFile> {
    const root = await this.#root();
    this.#active++;
    let temporary: Awaited<ReturnType<typeof temporaryFile>> | undefined;
    let writer: BlockWriter | undefined;
    const discard = async (): Promise<void> => {
      const open = temporary;
      temporary = undefined;
      await writer?.abort();
      if (open === undefined) return;
      await open.remove();
      await this.#leave(root);
    };
    /** Nothing may stay of a file that there is no room for, even before its writer says `abort`. */
    const failed = async (doing: string, path: string | undefined, error: unknown): Promise<StowageError> => {
      if (errorName(error) !== 'QuotaExceededError') return fileSystemFailed(doing, path, error);
      const needed = writer?.size ?? 0;
      await discard();
      return quotaExceeded(needed, error);
    };
    try {
      await checkMayWrite(root);
      await this.#sweep(root);
      temporary = await temporaryFile(root, workFolder);
      writer = await BlockWriter.open(temporary.handle);
    } catch (error) {
      if (temporary === undefined) await this.#leave(root);
      const failure = await failed('creating a file in', root.name, error);
      await discard();
      throw failure;
    }
    const { handle } = temporary;
    const opened = writer;
    return pendingFile(
      {
        async write(chunk) {
          try {
            await opened.write(chunk);
          } catch (error) {
            throw await failed('writing a file in', root.name, error);
          }
        },
        commit: async (path) => {
          checkFilePath(path);
          try {
            await checkMayWrite(root);
            await opened.close();
            await place(root, handle, path);
          } catch (error) {
            throw await failed('committing', path, error);
          }
          await discard();
        },
        discard,
      },
      options.path,
    );
  }

  async *list(prefix: string): AsyncIterable<string> {
    const parent = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    // No file has a path that starts like this, so none is listed.
    if (parent !== '' && storagePathFault(parent.slice(0, -1)) !== undefined) return;
    const root = await this.#root();
    try {
      const directory = await directoryOf(root, parent.split('/').slice(0, -1));
      yield* walk(directory, parent, prefix);
    } catch (error) {
      if (!isAbsent(error)) throw fileSystemFailed('listing', parent, error);
    }
  }

  async move(from: string, to: string): Promise<void> {
    checkFilePath(from);
    checkFilePath(to);
    // One at a time: of two that move the same file, browsers tell the second this or that, and where it is copied both would do it.
    await this.exclusive(`move ${from}`, async () => {
      try {
        const handle = await this.#find(from);
        if (!handle) throw notFound(from);
        if (from === to) return;
        const root = await this.#root();
        await checkMayWrite(root);
        await place(root, handle, to);
      } catch (error) {
        throw errorName(error) === 'NotFoundError' ? notFound(from, error) : fileSystemFailed('moving', from, error);
      }
      // Where the platform cannot move it was copied.
      await this.delete(from);
    });
  }

  async delete(path: string): Promise<void> {
    checkFilePath(path);
    const root = await this.#root();
    const { folders, name } = split(path);
    try {
      const directory = await directoryOf(root, folders);
      // An empty directory of that name would be removed as well.
      await directory.getFileHandle(name);
      await checkMayWrite(root);
      await patiently(() => directory.removeEntry(name));
    } catch (error) {
      if (!isAbsent(error)) throw fileSystemFailed('deleting', path, error);
    }
  }

  async exclusive<T>(name: string, task: () => Promise<T>): Promise<T> {
    const root = await this.#root();
    this.#place ??= placeOf(root);
    return webLocks().request(`stowage:${await this.#place}:${name}`, async () => task()) as Promise<T>;
  }

  async #find(path: string): Promise<FileSystemFileHandle | undefined> {
    const root = await this.#root();
    const { folders, name } = split(path);
    try {
      return await (await directoryOf(root, folders)).getFileHandle(name);
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  #root(): Promise<FileSystemDirectoryHandle> {
    this.#opened ??= this.#open().catch((error: unknown) => {
      this.#opened = undefined;
      throw error;
    });
    return this.#opened;
  }

  async #open(): Promise<FileSystemDirectoryHandle> {
    const root = this.#given ?? (await originPrivate());
    // A storage that is only read tidies up as well; it need not wait for that.
    void this.#sweep(root);
    return root;
  }

  /** A read-only folder cannot be tidied, and need not be before it is written to. */
  #sweep(root: FileSystemDirectoryHandle): Promise<void> {
    this.#swept ??= mayWrite(root)
      .then(async (may) => {
        if (may) await sweepLeftovers(root, workFolder);
        else this.#swept = undefined;
      })
      .catch(() => {});
    return this.#swept;
  }

  async #leave(root: FileSystemDirectoryHandle): Promise<void> {
    this.#active--;
    // Fails where another tab has a file in there, which will remove it in its turn.
    if (this.#active === 0) await removeWorkFolder(root, workFolder, 4);
  }
}

/** Up to here, which is what the largest document may have, a file is read at once, so that none is seen half replaced. */
const heldBytes = 4 * 1024 * 1024;
const sliceBytes = 512 * 1024;

/** What reading a file meets that was replaced since it was looked up. */
const replaced = new Set(['NotReadableError', 'NotFoundError', 'AbortError']);

function split(path: string): { folders: string[]; name: string } {
  const folders = path.split('/');
  return { name: folders.pop()!, folders };
}

async function originPrivate(): Promise<FileSystemDirectoryHandle> {
  const { storage } = (globalThis as { navigator?: { storage?: Partial<StorageManager> } }).navigator ?? {};
  if (!storage?.getDirectory) {
    throw new StowageError(
      'RUNTIME_UNSUPPORTED',
      'This runtime has no origin private file system (navigator.storage.getDirectory), which browsers give to pages from https: or localhost. Use MemoryStorage, or a storage of this runtime.',
    );
  }
  try {
    return await storage.getDirectory();
  } catch (error) {
    throw fileSystemFailed('opening the origin private file system', undefined, error);
  }
}

/** A name for the directory that is the same in every tab. */
async function placeOf(directory: FileSystemDirectoryHandle): Promise<string> {
  const path = await originPrivate()
    .then((origin) => origin.resolve(directory))
    .catch(() => null);
  return path ? `private/${path.join('/')}` : `folder/${directory.name}`;
}

async function directoryOf(
  root: FileSystemDirectoryHandle,
  folders: readonly string[],
  options?: FileSystemGetDirectoryOptions,
): Promise<FileSystemDirectoryHandle> {
  let directory = root;
  for (const name of folders) directory = await directory.getDirectoryHandle(name, options);
  return directory;
}

/** Puts a finished file where it belongs, whose directories are made. */
async function place(root: FileSystemDirectoryHandle, handle: FileSystemFileHandle, path: string): Promise<void> {
  const { folders, name } = split(path);
  const directory = await directoryOf(root, folders, { create: true });
  const { move } = handle as WritableHandle;
  // Firefox moves a file over a directory, with all that is in it, without a word.
  await directory.getFileHandle(name).catch((error: unknown) => {
    if (errorName(error) !== 'NotFoundError') throw error;
  });
  if (move) {
    try {
      return await patiently(() => move.call(handle, directory, name));
    } catch (error) {
      if (!cannotMove.has(errorName(error))) throw error;
    }
  }
  await copyFile(handle, directory, name);
}

/** What browsers answer that move only in their own file system, or only in answer to a click. */
const cannotMove = new Set(['NotSupportedError', 'NotAllowedError', 'TypeError']);

async function copyFile(from: FileSystemFileHandle, directory: FileSystemDirectoryHandle, name: string): Promise<void> {
  const isNew = await directory.getFileHandle(name).then(
    () => false,
    () => true,
  );
  const file = await from.getFile();
  const writer = await BlockWriter.open(await directory.getFileHandle(name, { create: true }));
  try {
    for await (const chunk of slices(file, 0, file.size, name)) await writer.write(chunk);
    await writer.close();
  } catch (error) {
    await writer.abort();
    if (isNew) await directory.removeEntry(name).catch(() => {});
    throw error;
  }
}

async function* walk(directory: FileSystemDirectoryHandle, parent: string, prefix: string): AsyncIterable<string> {
  // A snapshot, so that a caller may delete what it is listing.
  const found: [string, FileSystemHandleKind][] = [];
  for await (const [name, { kind }] of directory.entries()) found.push([name, kind]);
  for (const [name, kind] of found) {
    const path = parent + name;
    if (!(path.startsWith(prefix) || prefix.startsWith(`${path}/`))) continue;
    if (storagePathFault(path) !== undefined || isInWorkFolder(path)) continue;
    if (kind === 'file') yield path;
    else {
      const inside = await directory.getDirectoryHandle(name).catch((error: unknown) => {
        // Gone since it was listed.
        if (isAbsent(error)) return undefined;
        throw error;
      });
      if (inside) yield* walk(inside, `${path}/`, prefix);
    }
  }
}

async function bytesOf(file: File, start: number, end: number): Promise<Uint8Array> {
  return new Uint8Array(await file.slice(start, end).arrayBuffer());
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Slices rather than the file's own stream, whose chunks are small and cross between processes one by one. */
async function* slices(file: File, start: number, end: number, path: string): AsyncGenerator<Uint8Array> {
  for (let offset = start; offset < end; offset += sliceBytes) {
    try {
      yield await bytesOf(file, offset, Math.min(offset + sliceBytes, end));
    } catch (error) {
      throw fileSystemFailed('reading', path, error);
    }
  }
}

function notFound(path: string, cause?: unknown): StowageError {
  return new StowageError('NOT_FOUND', `No file ${quotePath(path)} in this directory.`, { path }, { cause });
}
