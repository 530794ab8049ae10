import fc from 'fast-check';
import { expect, test } from 'vitest';
import { pmapBounded } from '../../src/bytes/pmap-bounded.ts';
import { StowageError } from '../../src/errors.ts';

/** Lets others run as many times as it is told: scheduling that a seed decides, and no clock. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await undefined;
}

/** Items as turns that each takes, and a number of workers. */
const delays = fc.array(fc.nat(12), { maxLength: 30 });
const workers = fc.integer({ min: 1, max: 8 });

test('doubles five numbers two at a time', async () => {
  expect(await pmapBounded((x) => x * 2, [1, 2, 3, 4, 5], 2)).toEqual([2, 4, 6, 8, 10]);
});

test('results come in the order of the list, whichever is ready first', async () => {
  await fc.assert(
    fc.asyncProperty(delays, workers, async (list, width) => {
      const results = await pmapBounded(
        async (delay, index) => {
          await turns(delay);
          return `${index}:${delay}`;
        },
        list,
        width,
      );
      expect(results).toEqual(list.map((delay, index) => `${index}:${delay}`));
    }),
    { numRuns: 300 },
  );
});

test('never more than maxWorkers run at once, and as many as that where there is work', async () => {
  await fc.assert(
    fc.asyncProperty(delays, workers, async (list, width) => {
      let running = 0;
      let most = 0;
      const started: number[] = [];
      await pmapBounded(
        async (delay, index) => {
          started.push(index);
          most = Math.max(most, ++running);
          await turns(delay + 1);
          running--;
        },
        list,
        width,
      );
      expect(most).toBe(Math.min(width, list.length));
      expect(started).toEqual(list.map((_, index) => index));
    }),
    { numRuns: 300 },
  );
});

test('the first error wins, nothing starts after it, and nothing runs on behind the caller', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ delay: fc.nat(12), fails: fc.boolean() }), { minLength: 1, maxLength: 30 }),
      workers,
      async (list, width) => {
        const errors: Error[] = [];
        let running = 0;
        let startedLate = false;
        const work = async (delay: number, fails: boolean, index: number): Promise<number> => {
          running++;
          await turns(delay);
          running--;
          if (fails) throw new Error(`item ${index}`);
          return index;
        };
        const outcome = pmapBounded(
          ({ delay, fails }, index) => {
            startedLate ||= errors.length > 0;
            const result = work(delay, fails, index);
            result.catch((error: Error) => errors.push(error));
            return result;
          },
          list,
          width,
        );
        const error = await outcome.then(
          () => undefined,
          (reason: unknown) => reason,
        );
        expect(error).toBe(errors[0]);
        expect(error === undefined).toBe(list.every(({ fails }) => !fails));
        expect(running).toBe(0);
        expect(startedLate).toBe(false);
      },
    ),
    { numRuns: 300 },
  );
});

test('an error thrown at once stops all that would have followed', async () => {
  const seen: number[] = [];
  const broken = new Error('at once');
  const outcome = pmapBounded(
    (item) => {
      seen.push(item);
      throw broken;
    },
    [1, 2, 3],
    3,
  );
  await expect(outcome).rejects.toBe(broken);
  expect(seen).toEqual([1]);
});

test('whatever is thrown comes through, undefined too', async () => {
  await expect(pmapBounded(() => Promise.reject(undefined), [1], 1)).rejects.toBeUndefined();
});

test('an empty list calls nothing', async () => {
  expect(await pmapBounded(() => expect.unreachable(), [], 3)).toEqual([]);
});

test('a generator is drawn from as workers become free, and closed after an error', async () => {
  let drawn = 0;
  let closed = false;
  function* endless(): Generator<number, void, void> {
    try {
      for (;;) yield drawn++;
    } finally {
      closed = true;
    }
  }
  const broken = new Error('enough');
  const outcome = pmapBounded(
    async (item) => {
      if (item === 10) throw broken;
    },
    endless(),
    2,
  );
  await expect(outcome).rejects.toBe(broken);
  expect(drawn).toBeLessThan(14);
  expect(closed).toBe(true);
});

test('a list that fails is an error like that of an item', async () => {
  const broken = new Error('no more items');
  function* failing(): Generator<number, void, void> {
    yield 1;
    throw broken;
  }
  await expect(pmapBounded((item) => item, failing(), 4)).rejects.toBe(broken);
});

test('a number of workers that is none is refused', async () => {
  for (const width of [0, -1, 1.5, Number.NaN]) {
    const error = await pmapBounded((item) => item, [1], width).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(StowageError);
    expect((error as StowageError).code).toBe('ARGUMENT_INVALID');
  }
  expect(await pmapBounded((item) => item, [1, 2], Number.POSITIVE_INFINITY)).toEqual([1, 2]);
});
