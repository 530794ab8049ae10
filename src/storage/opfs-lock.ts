/**
 * Unfinished files in a browser's file system, each guarded by a Web Lock that its writer holds. A tab that is closed lets go of its
 * locks, so a file whose lock is free belongs to nobody, and no living writer's file is ever taken for one.
 */
import { StowageError } from '../errors.ts';
import { errorName, patiently } from './opfs-failure.ts';
import { mayWrite } from './opfs-permission.ts';

/** A file of a name that nobody else has, and the right to it. */
export interface TemporaryFile {
  handle: FileSystemFileHandle;
  /**
   * Removes the file, where it was not moved away, and gives up the right to it. Never throws. Where the permission was withdrawn
   * the file stays, and belongs to nobody.
   */
  remove(): Promise<void>;
}

/** The locks of this site. Throws `RUNTIME_UNSUPPORTED` where there are none. */
export function webLocks(): LockManager {
  const { locks } = (globalThis as { navigator?: { locks?: LockManager } }).navigator ?? {};
  if (locks) return locks;
  throw new StowageError(
    'RUNTIME_UNSUPPORTED',
    'This runtime has no Web Locks (navigator.locks), without which two tabs would undo what the other writes. Use a browser that has them, and a page from https: or localhost.',
  );
}

/** Waits for a lock and gives the call that releases it. */
function holdLock(name: string): Promise<() => void> {
  return new Promise((resolve, reject) => {
    webLocks()
      .request(name, () => new Promise<void>((release) => resolve(release)))
      .catch(reject);
  });
}

/** Creates a file in the work folder, which is made where it is missing. */
export async function temporaryFile(root: FileSystemDirectoryHandle, workFolder: string): Promise<TemporaryFile> {
  const token = randomToken();
  const release = await holdLock(lockOf(token));
  for (let attempt = 1; ; attempt++) {
    try {
      const folder = await root.getDirectoryHandle(workFolder, { create: true });
      const name = `tmp-${token}`;
      const handle = await folder.getFileHandle(name, { create: true });
      return {
        handle,
        async remove() {
          await removeQuietly(root, folder, name);
          release();
        },
      };
    } catch (error) {
      // Tidied away by another tab while it was empty.
      if (attempt < 20 && errorName(error) === 'NotFoundError') continue;
      release();
      throw error;
    }
  }
}

/** Removes what closed tabs left in the work folder, and the folder where nothing else is in it. */
export async function sweepLeftovers(root: FileSystemDirectoryHandle, workFolder: string): Promise<void> {
  const folder = await root.getDirectoryHandle(workFolder).catch(() => undefined);
  if (!folder) return;
  const names: string[] = [];
  for await (const name of folder.keys()) names.push(name);
  for (const name of names) {
    // Some browsers keep what is being written beside the file, under its name and an ending of theirs.
    const token = /^tmp-([0-9a-f]{32})(\.|$)/.exec(name)?.[1];
    if (token === undefined) continue;
    await webLocks().request(lockOf(token), { ifAvailable: true }, async (lock) => {
      // A name is never used again, so what is judged is what is removed.
      if (lock) await removeQuietly(root, folder, name);
    });
  }
  await removeWorkFolder(root, workFolder);
}

/** Removes the work folder where it is empty. Never throws. */
export function removeWorkFolder(
  root: FileSystemDirectoryHandle,
  workFolder: string,
  attempts?: number,
): Promise<void> {
  return removeQuietly(root, root, workFolder, attempts);
}

/** What cannot be removed stays, for a later storage to remove; the user is not asked for it. */
async function removeQuietly(
  root: FileSystemDirectoryHandle,
  directory: FileSystemDirectoryHandle,
  name: string,
  attempts?: number,
): Promise<void> {
  try {
    if (await mayWrite(root)) await patiently(() => directory.removeEntry(name), attempts);
  } catch {}
}

function lockOf(token: string): string {
  return `stowage:unfinished:${token}`;
}

function randomToken(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
