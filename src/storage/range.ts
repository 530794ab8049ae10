/** What a `ByteRange` means for a file of a known size: one reading of it for every adapter. */
import { StowageError } from '../errors.ts';
import type { ByteRange } from './storage.ts';

/**
 * The range as two offsets with `0 <= start <= end <= size`; a range past the end is cut to the size.
 * Throws `ARGUMENT_INVALID` where an offset is negative or no integer, or `end` lies before `start`.
 */
export function resolveByteRange(range: ByteRange | undefined, size: number): { start: number; end: number } {
  const start = range?.start ?? 0;
  const end = range?.end ?? Number.MAX_SAFE_INTEGER;
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end < start) {
    throw new StowageError(
      'ARGUMENT_INVALID',
      `Byte range ${start}…${range?.end ?? ''} is none: give integers with 0 <= start <= end.`,
      { start: range?.start, end: range?.end },
    );
  }
  return { start: Math.min(start, size), end: Math.min(end, size) };
}
