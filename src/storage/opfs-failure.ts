/** What a browser's file system refuses, as errors that say how to go on. */
import { type ErrorCode, StowageError } from '../errors.ts';
import { quotePath } from './path.ts';

/** The platform's name for an error (`NotFoundError`), or `''`. */
export function errorName(error: unknown): string {
  const name = (error as { name?: unknown } | undefined)?.name;
  return typeof name === 'string' ? name : '';
}

/** Whether the error says that no file of that name is there, be it that no file can have that name. */
export function isAbsent(error: unknown): boolean {
  return absent.has(errorName(error));
}

/** A file where a directory should be, or the other way round, is a TypeMismatchError; a name that the platform refuses a TypeError. */
const absent = new Set(['NotFoundError', 'TypeMismatchError', 'TypeError']);

/** The platform's error as `STORAGE_FAILED`, or a code of its own; what is ours already passes through. */
export function fileSystemFailed(doing: string, path: string | undefined, cause: unknown): StowageError {
  if (cause instanceof StowageError) return cause;
  const name = errorName(cause);
  const what = path === undefined ? doing : `${doing} ${quotePath(path)}`;
  const reason = (cause instanceof Error ? cause.message : String(cause)).replace(/\.$/, '');
  const [code, advice] = known[name] ?? ['STORAGE_FAILED', 'Put right what the message names and run it again.'];
  return new StowageError(code, `Failed at ${what}: ${reason}. ${advice}`, { path, name }, { cause });
}

/**
 * Tries again, for some seconds, what browsers refuse while somebody else moves, removes or opens the same file or its directory at
 * this very moment: they lock both for as long as that takes, and tell nobody when it is over.
 */
export async function patiently<T>(work: () => Promise<T>, attempts = 100): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (errorName(error) !== 'NoModificationAllowedError' || attempt === attempts) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.min(attempt * 4, 60) * Math.random()));
    }
  }
}

/**
 * `QUOTA_EXCEEDED`, with what the file needed at the least and what the origin has left, in bytes. `left` is missing where the browser
 * does not say, or says what cannot be: some answer with a round figure rather than tell how full the disk is. Call it after the file was
 * removed, so that the two can be compared.
 */
export async function quotaExceeded(needed: number, cause: unknown): Promise<StowageError> {
  const { quota, usage } = (await navigator.storage?.estimate?.().catch(() => undefined)) ?? {};
  const said = quota === undefined || usage === undefined ? undefined : Math.max(0, quota - usage);
  const left = said !== undefined && said < needed ? said : undefined;
  const room = left === undefined ? 'more than is left to this site' : `and ${left} of ${quota} are left to this site`;
  return new StowageError(
    'QUOTA_EXCEEDED',
    `The browser's storage is full: the file needs at least ${needed} bytes, ${room}. Nothing of it stays. Delete what is no longer used, or ask for more with navigator.storage.persist().`,
    { needed, left, usage },
    { cause },
  );
}

const known: Record<string, [ErrorCode, string]> = {
  NotAllowedError: [
    'PERMISSION_DENIED',
    "The right to this folder was not given, or was withdrawn: ask for it with the handle's requestPermission({ mode: 'readwrite' }), in answer to a click.",
  ],
  SecurityError: [
    'PERMISSION_DENIED',
    'The browser gives this page no files, as in a private window or where site data is blocked: use MemoryStorage here, or a normal window.',
  ],
  NoModificationAllowedError: [
    'STORAGE_FAILED',
    'Another tab or Worker holds the file open, or it is read-only: close it there and run it again.',
  ],
  TypeMismatchError: [
    'STORAGE_FAILED',
    'A directory stands where the file should go, or a file where a directory should be: choose another name.',
  ],
  TypeError: ['STORAGE_FAILED', 'The platform takes no file of that name: choose another.'],
  NotFoundError: ['STORAGE_FAILED', 'The directory itself is gone: open it again.'],
  NotReadableError: ['STORAGE_FAILED', 'The file was changed or removed while it was read: read it again.'],
};
