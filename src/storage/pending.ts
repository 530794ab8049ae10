/** The life of a pending file, which is the same in every adapter: written to, then committed or forgotten, once. */
import { StowageError } from '../errors.ts';
import { checkStoragePath, quotePath } from './path.ts';
import type { PendingFile } from './storage.ts';

/** What an adapter does with its unfinished file. */
export interface PendingTarget {
  write(chunk: Uint8Array): Promise<void>;
  /** Called at most once, with a path that `checkStoragePath` took; where it throws, `discard` follows. */
  commit(path: string): Promise<void>;
  /** Frees what the file held. Called at most once, and not after a commit that succeeded. Must not throw. */
  discard(): Promise<void>;
}

/**
 * A `PendingFile` that keeps the contract's order of calls over `target`. A commit that fails, by its path too, forgets the file.
 * `path` is the one that was promised, if any was.
 */
export function pendingFile(target: PendingTarget, path?: string): PendingFile {
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
    async commit(name) {
      close();
      try {
        checkStoragePath(name);
        if (path !== undefined && name !== path) {
          throw new StowageError(
            'ARGUMENT_INVALID',
            `This file was created for ${quotePath(path)} and cannot be committed as ${quotePath(name)}. Create it without a path where that is not known.`,
            { path: name, expected: path },
          );
        }
        await target.commit(name);
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
