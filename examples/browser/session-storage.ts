/** Where this tab keeps layers: a folder of its own in the browser's file system, or memory where there is none. */
import { MemoryStorage, type Storage } from 'stowage';
import { OpfsStorage } from 'stowage/storage/opfs';

/** The folder lasts as long as the tab: the next one that is opened removes those that nobody holds any more. */
export async function openSessionStorage(): Promise<{ storage: Storage; kind: 'disk' | 'memory' }> {
  try {
    const root = await navigator.storage.getDirectory();
    const name = prefix + crypto.randomUUID();
    await holdUntilClosed(name);
    await removeAbandoned(root);
    const folder = await root.getDirectoryHandle(name, { create: true });
    const storage = new OpfsStorage(folder);
    await (await storage.create()).abort();
    return { storage, kind: 'disk' };
  } catch {
    // A private window, or a browser that has none or cannot write there.
    return { storage: new MemoryStorage(), kind: 'memory' };
  }
}

const prefix = 'stowage-session-';

function holdUntilClosed(name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const held = (): Promise<never> => {
      resolve();
      return new Promise(() => {});
    };
    navigator.locks.request(name, held).catch(reject);
  });
}

async function removeAbandoned(root: FileSystemDirectoryHandle): Promise<void> {
  const { held = [] } = await navigator.locks.query();
  const alive = new Set(held.map((lock) => lock.name));
  const names: string[] = [];
  for await (const name of root.keys()) if (name.startsWith(prefix) && !alive.has(name)) names.push(name);
  for (const name of names) await root.removeEntry(name, { recursive: true });
}
