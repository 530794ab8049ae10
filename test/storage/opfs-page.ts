/** The page and the Worker in which OpfsStorage is tested: runs the suite, and does what a user's tabs would do. */

import { blobStore } from '../../src/content/blob-store.ts';
import { StowageError } from '../../src/errors.ts';
import { Image } from '../../src/image/image.ts';
import { createLayer } from '../../src/layer/create-layer.ts';
import { exportDirectory } from '../../src/layout/export-directory.ts';
import { Layout } from '../../src/layout/layout.ts';
import { OpfsStorage } from '../../src/storage/opfs.ts';
import { runSuite, type SuiteEvent } from '../runtimes/harness.ts';
import { generatedBytes } from './generated-bytes.ts';
import './opfs-suite.ts';

/** What the driver calls by name, in a window; a Worker does one of them and tells what came out. */
const actions = {
  async suite(): Promise<SuiteEvent[]> {
    const events: SuiteEvent[] = [];
    await runSuite((event) => events.push(event));
    return events;
  },

  suiteInWorker: (): Promise<SuiteEvent[]> => inWorker('suite'),

  /** Tags `total` images, each of its own, in a layout that other tabs write to as well. */
  async tagMany(prefix: string, total: number): Promise<number> {
    const root = await navigator.storage.getDirectory();
    const layout = await Layout.create(
      new OpfsStorage(await root.getDirectoryHandle('shared-layout', { create: true })),
    );
    const encoder = new TextEncoder();
    for (let number = 0; number < total; number++) {
      const blob = await layout.write(encoder.encode(`{"image":"${prefix}-${number}"}`));
      await layout.tag({ ...blob, mediaType: 'application/vnd.example.root' }, `${prefix}-${number}`);
    }
    return total;
  },

  async countTags(): Promise<number> {
    const root = await navigator.storage.getDirectory();
    const layout = await Layout.open(new OpfsStorage(await root.getDirectoryHandle('shared-layout')));
    return new Set((await layout.tags()).map(({ name }) => name)).size;
  },

  /** Starts a file and leaves it, to be closed half-way. */
  async leaveUnfinished(): Promise<string[]> {
    const storage = new OpfsStorage();
    const file = await storage.create();
    await file.write(new Uint8Array(3_000_000));
    return names('.stowage');
  },

  /** Writes images into a layout, one after the other and several at a time, until the tab is closed. Resolves when it is well under way. */
  writeWithoutEnd(): Promise<void> {
    return new Promise((resolve, reject) => {
      let written = 0;
      const write = async (writer: number): Promise<never> => {
        const storage = new OpfsStorage(await sharedFolder());
        for (let number = 0; ; number++) {
          const body = crypto.getRandomValues(new Uint8Array(60_000));
          const image = await Image.scratch().addLayer([{ path: `${writer}`, body }], { compression: 'none' });
          await exportDirectory(image, storage, { tag: `${writer}-${number % 5}` });
          if (++written === 20) resolve();
        }
      };
      for (const writer of [1, 2, 3]) write(writer).catch(reject);
    });
  },

  /** What the next tab finds in that layout, once it has written something itself. */
  async afterWriting(): Promise<unknown> {
    const folder = await sharedFolder();
    const storage = new OpfsStorage(folder);
    const layout = await Layout.open(storage);
    const tags = await layout.tags();
    await exportDirectory(await Image.scratch().addLayer([{ path: 'a', body: 'b' }]), storage, { tag: 'next' });
    const { faults, blobs } = await layout.verify();
    const found: string[] = [];
    for await (const name of folder.keys()) found.push(name);
    return { faults: faults.map(({ message }) => message), blobs, tags: tags.length, names: found.sort() };
  },

  /** What lies in the root after a new storage was used. */
  async afterReopening(): Promise<string[]> {
    const storage = new OpfsStorage();
    await storage.create().then((file) => file.abort());
    return names();
  },

  /** Writes until there is no room, and tells what was thrown and what stays. */
  async fill(): Promise<unknown> {
    const storage = new OpfsStorage();
    const file = await storage.create();
    const chunk = crypto.getRandomValues(new Uint8Array(65_536));
    try {
      for (let written = 0; written < 64 * 1024 * 1024; written += chunk.length) await file.write(chunk);
      await file.commit('large');
      return 'no failure';
    } catch (error) {
      const { code, message, details } = error as StowageError;
      const left = await names();
      await file.abort();
      const again = await file.write(chunk).catch((thrown: StowageError) => thrown.code);
      return { ours: error instanceof StowageError, code, message, details, names: left, again };
    }
  },

  /** What is in the folder that was dropped on the page. It may be read; to write there the browser would ask the user, whom nobody plays here. */
  async readPicked(): Promise<unknown> {
    const storage = new OpfsStorage(await picked);
    const files: string[] = [];
    for await (const path of storage.list('')) files.push(path);
    const text = await new Response(await storage.read(files[0]!)).text();
    return { files: files.sort(), text, stat: await storage.stat(files[0]!) };
  },

  /** What the folder that was dropped on the page answers to whoever writes to it and has not asked the user. */
  async writePicked(file: string): Promise<unknown> {
    const handle = (await picked)!;
    const { queryPermission } = handle as unknown as {
      queryPermission(descriptor: { mode: string }): Promise<PermissionState>;
    };
    const storage = new OpfsStorage(handle);
    const answers: unknown[] = [];
    for (const ask of [
      () => storage.create(),
      () => storage.move(file, 'moved'),
      () => storage.delete(file),
      () => Layout.create(storage),
    ]) {
      answers.push(
        await ask().then(
          () => 'no failure',
          ({ code, message }: StowageError) => ({ code, message }),
        ),
      );
    }
    return { permission: await queryPermission.call(handle, { mode: 'readwrite' }), answers };
  },

  async refused(): Promise<unknown> {
    return new OpfsStorage().stat('a').then(
      () => 'no failure',
      (error: StowageError) => ({ code: error.code, message: error.message }),
    );
  },

  /** Builds a layer of `size` random-looking bytes from a generated stream, and reads it back. */
  async buildLayer(size: number, compression: 'none' | 'gzip'): Promise<unknown> {
    const root = await navigator.storage.getDirectory();
    const store = blobStore(new OpfsStorage(await root.getDirectoryHandle('large', { create: true })));
    const layer = await createLayer([{ path: 'large.bin', size, body: generatedBytes(size) }], { store, compression });
    let read = 0;
    const reader = (await store.read(layer.descriptor)).getReader();
    for (let next = await reader.read(); !next.done; next = await reader.read()) read += next.value.length;
    await root.removeEntry('large', { recursive: true });
    return { size: layer.descriptor.size, read };
  },
};

async function sharedFolder(): Promise<FileSystemDirectoryHandle> {
  return (await navigator.storage.getDirectory()).getDirectoryHandle('written-to', { create: true });
}

async function names(folder?: string): Promise<string[]> {
  let directory = await navigator.storage.getDirectory();
  if (folder !== undefined) directory = await directory.getDirectoryHandle(folder);
  const found: string[] = [];
  for await (const name of directory.keys()) found.push(name);
  return found.sort();
}

function inWorker<T>(action: keyof typeof actions): Promise<T> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(import.meta.url, { type: 'module' });
    worker.onerror = (event) => reject(new Error(event.message));
    worker.onmessage = ({ data }) => {
      worker.terminate();
      resolve(data);
    };
    worker.postMessage(action);
  });
}

/** A folder of this machine, as `showDirectoryPicker` would give it. */
let picked: Promise<FileSystemDirectoryHandle> | undefined;

if (typeof document === 'undefined') {
  addEventListener('message', async ({ data }) => {
    postMessage(await (actions[data as keyof typeof actions] as () => Promise<unknown>)());
  });
} else {
  for (const type of ['dragenter', 'dragover']) addEventListener(type, (event) => event.preventDefault());
  addEventListener('drop', (event) => {
    event.preventDefault();
    const item = event.dataTransfer!.items[0] as unknown as {
      getAsFileSystemHandle(): Promise<FileSystemDirectoryHandle>;
    };
    picked = item.getAsFileSystemHandle();
  });
  Object.assign(globalThis, { opfs: actions });
}
