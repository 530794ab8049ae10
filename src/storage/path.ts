/** Which paths a storage takes: relative, of plain segments, so that no adapter can be led out of its root. */
import { StowageError } from '../errors.ts';
import { defaultLimits } from '../limits.ts';

/**
 * Throws `PATH_INVALID` unless `path` is what `Storage` takes: relative, `/`-separated, no empty, `.` or `..` segment, no NUL,
 * backslash, drive letter or lone surrogate, at most 4,096 bytes of UTF-8.
 */
export function checkStoragePath(path: string): void {
  const fault = storagePathFault(path);
  if (fault !== undefined) {
    throw new StowageError(
      'PATH_INVALID',
      `Storage path ${quotePath(path)} ${fault}. Give a relative path such as "blobs/sha256/abc".`,
      { path },
    );
  }
}

/** What keeps `path` from being a storage path, as the predicate of a sentence; `undefined` where nothing does. */
export function storagePathFault(path: string): string | undefined {
  if (typeof path !== 'string') return 'is not a string';
  if (path === '') return 'is empty';
  if (path.startsWith('/')) return 'is absolute';
  if (/^[A-Za-z]:/.test(path)) return 'starts with a drive letter';
  if (path.includes('\\')) return 'holds a backslash';
  if (path.includes('\0')) return 'holds a NUL';
  if (/\p{Surrogate}/u.test(path)) return 'holds a lone surrogate, so UTF-8 cannot say it';
  // UTF-8 takes at most three bytes per UTF-16 unit, so most paths need not be encoded to be measured.
  const limit = defaultLimits.pathBytes;
  if (path.length > limit || (path.length * 3 > limit && new TextEncoder().encode(path).length > limit)) {
    return `is longer than ${limit} bytes`;
  }
  for (const segment of path.split('/')) {
    if (segment === '') return 'has an empty segment';
    if (segment === '.' || segment === '..') return `has the segment "${segment}"`;
  }
  return undefined;
}

/** A path as a message shows it: control characters escaped, and cut where it is long. */
export function quotePath(path: unknown): string {
  const text = JSON.stringify(String(path));
  return text.length > 200 ? `${text.slice(0, 200)}…"` : text;
}
