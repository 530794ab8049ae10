/** What OpfsStorage promises, as tests that run in a browser's window or Worker: `opfs.node.test.ts` starts them. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StowageError } from '../../src/errors.ts';
import { OpfsStorage } from '../../src/storage/opfs.ts';
import { startFile } from '../runtimes/harness.ts';
import { paths, pattern, put, same, storageContract, text } from './contract.ts';

startFile('storage/opfs');

let count = 0;

/** A new directory of the origin private file system. */
async function newDirectory(): Promise<{ directory: FileSystemDirectoryHandle; remove(): Promise<void> }> {
  const root = await navigator.storage.getDirectory();
  const name = `test-${typeof document}-${++count}`;
  return {
    directory: await root.getDirectoryHandle(name, { create: true }),
    remove: () => root.removeEntry(name, { recursive: true }),
  };
}

/** Names of what lies in a directory, sorted. */
async function namesIn(directory: FileSystemDirectoryHandle): Promise<string[]> {
  const names: string[] = [];
  for await (const name of directory.keys()) names.push(name);
  return names.sort();
}

/** The handle with one of its file handles' methods missing or replaced, as other browsers have it. */
function altered(directory: FileSystemDirectoryHandle, changes: Record<string, unknown>): FileSystemDirectoryHandle {
  const changed = (handle: FileSystemFileHandle): FileSystemFileHandle =>
    new Proxy(handle, {
      get(target, key) {
        if (typeof key === 'string' && key in changes) return changes[key];
        const value = Reflect.get(target, key);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  return new Proxy(directory, {
    get(target, key) {
      if (key === 'getFileHandle') {
        return async (...args: Parameters<FileSystemDirectoryHandle['getFileHandle']>) =>
          changed(await target.getFileHandle(...args));
      }
      if (key === 'getDirectoryHandle') {
        return async (...args: Parameters<FileSystemDirectoryHandle['getDirectoryHandle']>) =>
          altered(await target.getDirectoryHandle(...args), changes);
      }
      const value = Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

async function contractOver(
  wrap: (directory: FileSystemDirectoryHandle) => FileSystemDirectoryHandle,
): ReturnType<Parameters<typeof storageContract>[1]> {
  const { directory, remove } = await newDirectory();
  return {
    storage: new OpfsStorage(wrap(directory)),
    async cleanup() {
      // What has been committed, aborted and released leaves no trace of how it was done.
      expect(await namesIn(directory)).not.toContain('.stowage');
      await remove();
    },
  };
}

storageContract('OpfsStorage', () => contractOver((directory) => directory));

storageContract('OpfsStorage, where files cannot be moved,', () =>
  contractOver((directory) => altered(directory, { move: undefined })),
);

if (typeof document === 'undefined') {
  storageContract('OpfsStorage, in a Worker without createWritable,', () =>
    contractOver((directory) => altered(directory, { createWritable: undefined })),
  );
}

describe('a directory of the browser', () => {
  let directory: FileSystemDirectoryHandle;
  let storage: OpfsStorage;
  let remove: () => Promise<void>;

  beforeEach(async () => {
    ({ directory, remove } = await newDirectory());
    storage = new OpfsStorage(directory);
  });
  afterEach(() => remove());

  test('without one, files lie in the root of the origin private file system', async () => {
    await put(new OpfsStorage(), 'in-the-root/a', 'x');
    const root = await navigator.storage.getDirectory();
    expect(await text(new OpfsStorage(root), 'in-the-root/a')).toBe('x');
    await root.removeEntry('in-the-root', { recursive: true });
  });

  test('holds each file under its own path, and nothing else', async () => {
    await put(storage, 'blobs/sha256/abc', 'x');
    expect(await namesIn(directory)).toEqual(['blobs']);
  });

  test('keeps unfinished files in .stowage, which no path can name and no listing shows', async () => {
    const file = await storage.create();
    await file.write(pattern(400_000));
    expect(await namesIn(directory)).toEqual(['.stowage']);
    expect(await paths(storage)).toEqual([]);
    expect(await paths(storage, '.stowage/')).toEqual([]);
    await expect(storage.read('.stowage/x')).rejects.toMatchObject({ code: 'PATH_INVALID' });
    await expect(file.commit('.Stowage/x')).rejects.toMatchObject({ code: 'PATH_INVALID' });
    expect(await namesIn(directory)).toEqual([]);
  });

  test('an empty directory is not deleted as a file', async () => {
    await directory.getDirectoryHandle('empty', { create: true });
    await storage.delete('empty');
    expect(await namesIn(directory)).toEqual(['empty']);
  });

  test('a directory where the file should go is STORAGE_FAILED, and nothing of the file stays', async () => {
    await put(storage, 'a/b', 'x');
    await expect(put(storage, 'a', 'y')).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
    await expect(put(storage, 'a/b/c', 'y')).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
    expect(await paths(storage)).toEqual(['a/b']);
    expect(await namesIn(directory)).toEqual(['a']);
  });

  test('what a closed tab left is removed by the next storage, what is being written is not', async () => {
    const living = await storage.create();
    await living.write(pattern(100_000));
    const folder = await directory.getDirectoryHandle('.stowage');
    for (const name of [`tmp-${'0'.repeat(32)}`, `tmp-${'1'.repeat(32)}.crswap`]) {
      await folder.getFileHandle(name, { create: true });
    }
    const later = new OpfsStorage(directory);
    await put(later, 'other', 'x');
    expect((await namesIn(folder)).filter((name) => !name.endsWith('.crswap')).length).toBe(1);
    expect((await namesIn(folder)).some((name) => /^tmp-[01]{32}/.test(name))).toBe(false);
    await living.commit('living');
    expect(await paths(storage)).toEqual(['living', 'other']);
    expect(same(new Uint8Array(await new Response(await storage.read('living')).arrayBuffer()), pattern(100_000))).toBe(
      true,
    );
    expect(await namesIn(directory)).toEqual(['living', 'other']);
  });

  test('leftovers are removed by a storage that only reads', async () => {
    const folder = await directory.getDirectoryHandle('.stowage', { create: true });
    await folder.getFileHandle(`tmp-${'0'.repeat(32)}`, { create: true });
    await storage.stat('anything');
    for (let round = 0; (await namesIn(directory)).length > 0 && round < 200; round++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(await namesIn(directory)).toEqual([]);
  });

  test('a document that is replaced all the time is always read whole', async () => {
    await put(storage, 'index.json', pattern(200_000).fill(0));
    let isDone = false;
    const writing = (async () => {
      for (let round = 1; round <= 60; round++) await put(storage, 'index.json', new Uint8Array(200_000).fill(round));
      isDone = true;
    })();
    let reads = 0;
    while (!isDone) {
      const read = new Uint8Array(await new Response(await storage.read('index.json')).arrayBuffer());
      expect(read.length).toBe(200_000);
      expect(read.every((byte) => byte === read[0])).toBe(true);
      reads++;
    }
    await writing;
    expect(reads).toBeGreaterThan(0);
  });

  test('a folder whose permission was withdrawn is PERMISSION_DENIED', async () => {
    const withdrawn = (): Promise<never> => Promise.reject(new DOMException('Not allowed.', 'NotAllowedError'));
    const denied = new Proxy(directory, {
      get(target, key) {
        if (String(key).startsWith('get')) return withdrawn;
        const value = Reflect.get(target, key);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const refused = new OpfsStorage(denied);
    for (const call of [() => refused.stat('a'), () => refused.read('a'), () => refused.create()]) {
      await expect(call()).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    }
  });

  test('a permission that is withdrawn while a file is written is PERMISSION_DENIED, asks nobody, and what it leaves is removed once it is back', async () => {
    let permission: PermissionState = 'granted';
    // As browsers do that wait for the user, who has gone.
    const unanswered = new Promise<never>(() => {});
    const picked = new Proxy(directory, {
      get(target, key) {
        if (key === 'queryPermission') return async () => permission;
        if (key === 'removeEntry' && permission !== 'granted') return () => unanswered;
        const value = Reflect.get(target, key);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const storage = new OpfsStorage(picked);
    await put(storage, 'kept', 'x');
    const file = await storage.create();
    await file.write(pattern(100_000));
    permission = 'prompt';
    await expect(file.commit('never')).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    await expect(storage.create()).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    await expect(storage.delete('kept')).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    await expect(storage.move('kept', 'other')).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    expect(await text(storage, 'kept')).toBe('x');
    expect(await paths(storage)).toEqual(['kept']);
    const reopened = new OpfsStorage(picked);
    expect(await paths(reopened)).toEqual(['kept']);
    expect(await namesIn(directory)).toEqual(['.stowage', 'kept']);
    permission = 'granted';
    await put(reopened, 'later', 'y');
    expect(await namesIn(directory)).toEqual(['kept', 'later']);
  });

  test('a full storage is QUOTA_EXCEEDED, which says what the file needed and what is left', async () => {
    const quotaError = new DOMException('No room.', 'QuotaExceededError');
    const createWritable = async (): Promise<object> => ({
      write: () => Promise.reject(quotaError),
      close: () => Promise.reject(quotaError),
      abort: async () => {},
    });
    const full = new OpfsStorage(altered(directory, { createWritable }));
    const told = navigator.storage.estimate;
    navigator.storage.estimate = async () => ({ quota: 2_000_000, usage: 1_500_000 });
    try {
      for (const size of [3_000_000, 600_000]) {
        const error = await put(full, 'a', pattern(size)).catch((thrown: unknown) => thrown);
        expect(error).toMatchObject({ code: 'QUOTA_EXCEEDED', details: { left: 500_000, usage: 1_500_000 } });
        expect((error as StowageError).details.needed).toBeGreaterThan(500_000);
        expect((error as StowageError).message).toMatch(/500000 of 2000000 are left/);
        expect(await namesIn(directory)).toEqual([]);
      }
    } finally {
      navigator.storage.estimate = told;
    }
  });

  test('a directory that was removed is STORAGE_FAILED for writing, and has no files', async () => {
    const gone = await newDirectory();
    const orphan = new OpfsStorage(gone.directory);
    await put(orphan, 'a', 'x');
    await gone.remove();
    expect(await orphan.stat('a')).toBe(undefined);
    await expect(orphan.create()).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
  });

  test('every error is ours, whatever the browser threw', async () => {
    await put(storage, 'a', 'x');
    const broken = new OpfsStorage(altered(directory, { getFile: () => Promise.reject(new Error('disk on fire')) }));
    const error = await broken.read('a').catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(StowageError);
    expect(error).toMatchObject({ code: 'STORAGE_FAILED', details: { path: 'a' } });
    expect((error as StowageError).message).toMatch(/disk on fire/);
  });
});
