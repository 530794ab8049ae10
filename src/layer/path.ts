/** Paths as layers hold them. */
import { StowageError } from '../errors.ts';
import { encodeText } from '../tar/text.ts';

/**
 * A path as layers hold it: relative, without `./`, `//` or a closing `/`; `''` for the root.
 * Throws `PATH_INVALID` for what leads out of the root or holds a NUL.
 */
export function normalizePath(path: string, what = 'path'): string {
  const refuse = (why: string): StowageError =>
    new StowageError('PATH_INVALID', `The ${what} ${JSON.stringify(path)} ${why}.`, { path });
  if (isNormal(path)) return path;
  if (typeof path !== 'string' || path === '')
    throw refuse('is empty; name the file as it shall be called in the image');
  if (path.includes('\0')) throw refuse('holds a NUL byte, which no file system takes');
  if (encodeText(path) === undefined)
    throw refuse('holds half a UTF-16 pair, which stands for no character and no byte');
  const segments = path.split('/').filter((segment) => segment !== '' && segment !== '.');
  if (segments.includes('..')) throw refuse('holds "..", which could lead out of the image; resolve it first');
  return segments.join('/');
}

/** Most paths are ASCII and need nothing: told at a tenth of what taking them apart costs. */
function isNormal(path: unknown): boolean {
  return typeof path === 'string' && /^[ -~]+$/.test(path) && !/(?:^|\/)\.{0,2}(?:\/|$)/.test(path);
}
