/** The folder in which adapters keep what is not finished: out of reach of every path, and out of every listing. */
import { StowageError } from '../errors.ts';
import { checkStoragePath, quotePath } from './path.ts';

/** In the root of the storage. */
export const workFolder = '.stowage';

/** Whether a path lies in the work folder. Where file systems ignore case, so does this. */
export function isInWorkFolder(path: string): boolean {
  return path.split('/', 1)[0]!.toLowerCase() === workFolder;
}

/** `checkStoragePath` for adapters with a work folder: throws `PATH_INVALID` for what lies in there, too. */
export function checkFilePath(path: string): void {
  checkStoragePath(path);
  if (!isInWorkFolder(path)) return;
  throw new StowageError(
    'PATH_INVALID',
    `Storage path ${quotePath(path)} lies in "${workFolder}", where unfinished files are kept. Choose another name.`,
    { path },
  );
}
