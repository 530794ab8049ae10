/** The life of a pending file, which is the same in every adapter: written to, then committed or forgotten, once. */
import { StowageError } from '../errors.ts';
import { checkStoragePath } from './path.ts';
import type { PendingFile } from './storage.ts';

/** What an adapter does with its unfinished file. */
export interface PendingTarget {
  write(chunk: Uint8Array): Promise<void>;
  /** Called at most once, with a path that `checkStoragePath` took; where it throws, `discard` follows. */
  commit(path: string): Promise<void>;
  /** Frees what the file held. Called at most once, and not after a commit that succeeded. Must not throw. */
  discard(): Promise<void>;
}

/** A `PendingFile` that keeps the contract's order of calls over `target`. A commit that fails, by its path too, forgets the file. */
export function pendingFile(target: PendingTarget): PendingFile {
  let open = true;
  const close = (): void => {
    if (!open) {
      throw new StowageError('ARGUMENT_INVALID', 'This pending file was committed or aborted: create a new one.');
    }
    open = false;
  };
  return {
    async write(chunk) {
      if (!open) close();
      await target.write(chunk);
    },
    async commit(path) {
      close();
      try {
        checkStoragePath(path);
        await target.commit(path);
      } catch (error) {
        await target.discard();
        throw error;
      }
    },
    async abort() {
      if (!open) return;
      open = false;
      await target.discard();
    },
  };
}
