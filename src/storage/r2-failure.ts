/** What R2 refuses: tried again where that helps, and told as errors of ours where it does not. */
import { StowageError } from '../errors.ts';
import { quotePath } from './path.ts';

/**
 * Runs what may be run twice, and runs it again up to five times, over about ten seconds, where R2 was busy: it takes one write a second of the
 * same key, and answers 429 to more.
 */
export async function persistently<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt > 5 || !isTransient(error)) throw error;
      await pause(150 * 2 ** attempt);
    }
  }
}

/** Waits for about that long: those who wait at the same time must not come back at the same time. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds * (0.5 + Math.random())));
}

/** Whether trying again may help. R2's messages end in a number: internal error, unavailable, too many requests. */
export function isTransient(error: unknown): boolean {
  const message = error instanceof Error ? error.message : String(error);
  return /\((10001|10043|10058)\)|\b(429|500|503)\b/.test(message);
}

/** R2's error as `STORAGE_FAILED`; what is ours already passes through. */
export function bucketFailed(doing: string, path: string, cause: unknown): StowageError {
  if (cause instanceof StowageError) return cause;
  const reason = (cause instanceof Error ? cause.message : String(cause)).replace(/\.$/, '');
  return new StowageError(
    'STORAGE_FAILED',
    `R2 failed at ${doing} ${quotePath(path)}: ${reason}. Run it again; where it fails again, look the number up in R2's list of errors.`,
    { path },
    { cause },
  );
}
