/** A parallel map of bounded width, which downloads and uploads share. */
import { StowageError } from '../errors.ts';

/**
 * Calls `fn` on each item, at most `maxWorkers` at a time, items starting in the order of `list`, and resolves to the
 * results in that same order.
 *
 * The first failure wins: no further item starts, and the promise rejects with that very error. It does so once the
 * items that were under way have settled, so that nothing runs on behind the caller's back; give them an `AbortSignal`
 * to make that quick. A `list` that is a generator is drawn from as workers become free, and closed after a failure.
 *
 * @throws `ARGUMENT_INVALID` where `maxWorkers` is not a whole number of at least 1.
 * @example
 * await pmapBounded((x) => x * 2, [1, 2, 3, 4, 5], 2); // [2, 4, 6, 8, 10]
 */
export async function pmapBounded<T, R>(
  fn: (item: T, index: number) => Promise<R> | R,
  list: Iterable<T>,
  maxWorkers: number,
): Promise<R[]> {
  if (maxWorkers !== Number.POSITIVE_INFINITY && !(Number.isSafeInteger(maxWorkers) && maxWorkers >= 1)) {
    throw new StowageError(
      'ARGUMENT_INVALID',
      `pmapBounded: maxWorkers is ${String(maxWorkers)}, where a whole number of at least 1 is needed.`,
      { field: 'maxWorkers', actual: maxWorkers },
    );
  }
  const results: R[] = [];
  const items = list[Symbol.iterator]();
  let started = 0;
  let exhausted = false;
  let failure: { error: unknown } | undefined;
  const work = async (): Promise<void> => {
    while (!exhausted && failure === undefined) {
      try {
        // Should the list itself fail, it is not asked again.
        exhausted = true;
        const next = items.next();
        if (next.done) return;
        exhausted = false;
        const index = started++;
        results[index] = await fn(next.value, index);
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  const workers: Promise<void>[] = [];
  while (workers.length < maxWorkers && !exhausted && failure === undefined) workers.push(work());
  await Promise.all(workers);
  if (failure !== undefined) {
    if (!exhausted) items.return?.();
    throw (failure as { error: unknown }).error;
  }
  return results;
}
