import fc from 'fast-check';
import { gunzipSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { blockSize } from '../../src/bytes/deflate.ts';
import { type GzipOptions, gzip } from '../../src/bytes/gzip.ts';

describe('portable gzip', () => {
  const sizes = [
    0,
    1,
    2,
    3,
    100,
    65535,
    65536,
    65537,
    blockSize - 1,
    blockSize,
    blockSize + 1,
    2 * blockSize,
    2_500_000,
  ];

  for (const size of sizes) {
    test(`${size} bytes come back, by the runtime's own gunzip and by a portable one`, async () => {
      const input = sample(size);
      const output = await compress([input]);
      expectSame(gunzipSync(output), input);
      if (typeof DecompressionStream === 'function') expectSame(await decompress(output), input);
    });
  }

  test('is one member without name, time or system', async () => {
    const output = await compress([sample(1000)]);
    expect([...output.subarray(0, 10)]).toEqual([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
  });

  test('gives the same bytes however the input is cut into chunks', async () => {
    const input = sample(blockSize + 150_000);
    const whole = await compress([input]);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.nat({ max: 9 }), fc.nat({ max: 70_000 }), fc.nat({ max: blockSize })), { maxLength: 30 }),
        async (cuts) => {
          const chunks: Uint8Array[] = [];
          let at = 0;
          for (const cut of cuts) {
            chunks.push(input.subarray(at, at + cut));
            at = Math.min(at + cut, input.length);
          }
          chunks.push(input.subarray(at));
          expectSame(await compress(chunks), whole);
        },
      ),
      { numRuns: 20 },
    );
  });

  test('gives the same bytes on any number of workers, where there are some', async () => {
    const input = sample(10 * blockSize + 5);
    const alone = await compress([input], { level: 1, workers: 0 });
    for (const workers of [1, 2, 8, undefined]) {
      // Twice: the first time, much of the work may be done before the workers are there.
      expectSame(await compress([input], { level: 1, workers }), alone);
      expectSame(await compress([input], { level: 1, workers }), alone);
    }
  });

  test('compresses several inputs at once, each on its own', async () => {
    const inputs = [11, 3, 9, 1].map((blocks) => sample(blocks * blockSize + blocks));
    const outputs = await Promise.all(inputs.map((input) => compress([input], { level: 1, workers: 2 })));
    for (const [index, output] of outputs.entries()) expectSame(gunzipSync(output), inputs[index]!);
  });

  test('is done with a chunk when it asks for the next', async () => {
    const input = sample(300_000);
    async function* reused(): AsyncGenerator<Uint8Array> {
      const chunk = new Uint8Array(1000);
      for (let at = 0; at < input.length; at += 1000) {
        chunk.set(input.subarray(at, at + 1000));
        yield chunk;
        chunk.fill(0);
      }
    }
    for (const engine of ['portable', 'native'] as const) {
      expectSame(gunzipSync(await collect(gzip(reused(), { engine }))), input);
    }
  });

  test('gives a few large chunks rather than many small ones', async () => {
    let count = 0;
    for await (const chunk of gzip(each([sample(3_000_000)]))) if (chunk.length > 0) count++;
    // Of each block, and of the header and the trailer.
    expect(count).toBe(5);
  });

  test('stores at level 0', async () => {
    const input = new Uint8Array(200_000);
    const output = await compress([input], { level: 0 });
    expect(output.length).toBeGreaterThan(input.length);
    expect(output.length).toBeLessThan(input.length * 1.0003);
    expectSame(gunzipSync(output), input);
  });

  test('wraps what is gzip already with hardly a byte more', async () => {
    const inner = await compress([sample(3_000_000)]);
    expect((await compress([inner])).length).toBeLessThan(inner.length * 1.0003 + 100);
  });
});

describe('native gzip', () => {
  test('comes back, with the same header as the portable one', async () => {
    for (const size of [0, 1, 70_000, 1_500_000]) {
      const input = sample(size);
      const output = await compress([input], { engine: 'native' });
      expect([...output.subarray(0, 10)]).toEqual([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
      expectSame(gunzipSync(output), input);
    }
  });

  test('takes a level, or says that it cannot', async () => {
    try {
      const best = await compress([sample(300_000)], { engine: 'native', level: 9 });
      const fast = await compress([sample(300_000)], { engine: 'native', level: 1 });
      expect(best.length).toBeLessThan(fast.length);
    } catch (error) {
      expect(error).toMatchObject({ code: 'RUNTIME_UNSUPPORTED', details: { field: 'level' } });
    }
  });
});

describe('what cannot be', () => {
  test.each([-1, 10, 1.5, Number.NaN, '6'])('level %j is refused', (level) => {
    expect(() => gzip(each([]), { level: level as number })).toThrow(/level/);
    expect(() => gzip(each([]), { level: level as number, engine: 'native' })).toThrow(/level/);
  });

  test.each([-1, 1.5, Number.NaN, '2'])('%j workers are refused', (workers) => {
    expect(() => gzip(each([]), { workers: workers as number })).toThrow(/workers/);
  });

  test('an unknown engine is refused', () => {
    expect(() => gzip(each([]), { engine: 'fast' as 'native' })).toThrow(/engine "fast"/);
  });
});

for (const engine of ['portable', 'native'] as const) {
  describe(`${engine} gzip that ends early`, () => {
    test('an error of the source comes out as it is', async () => {
      const failure = new Error('the disk is gone');
      async function* failing(): AsyncGenerator<Uint8Array> {
        yield sample(100_000);
        throw failure;
      }
      await expect(collect(gzip(failing(), { engine }))).rejects.toBe(failure);
    });

    test('a signal aborted before the start rejects with its reason, and reads nothing', async () => {
      const reason = new Error('never mind');
      const source = watched();
      await expect(collect(gzip(source, { engine, signal: AbortSignal.abort(reason) }))).rejects.toBe(reason);
      expect(source.given()).toBe(0);
    });

    test('a signal aborted on the way rejects with its reason, and ends the source', async () => {
      const reason = new Error('changed my mind');
      const controller = new AbortController();
      const source = watched();
      const reading = (async () => {
        for await (const chunk of gzip(source, { engine, signal: controller.signal })) {
          if (chunk.length > 0) controller.abort(reason);
        }
      })();
      await expect(reading).rejects.toBe(reason);
      await source.closed;
    });

    test('a timer may abort what never waits for input', async () => {
      const controller = new AbortController();
      const source = watched();
      setTimeout(() => controller.abort(new Error('too late')), 20);
      await expect(collect(gzip(source, { engine, signal: controller.signal }))).rejects.toThrow('too late');
      await source.closed;
    });

    test('a signal aborts even a source that hangs', async () => {
      const controller = new AbortController();
      async function* hanging(): AsyncGenerator<Uint8Array> {
        yield sample(10);
        await new Promise(() => {});
      }
      setTimeout(() => controller.abort(new Error('enough')), 20);
      await expect(collect(gzip(hanging(), { engine, signal: controller.signal }))).rejects.toThrow('enough');
    });

    test('leaving the loop ends the source', async () => {
      const source = watched();
      for await (const chunk of gzip(source, { engine })) {
        if (chunk.length > 0) break;
      }
      await source.closed;
    });
  });
}

/** A source without end that tells how much it gave, and when it was let go. */
function watched(): AsyncIterable<Uint8Array> & { given: () => number; closed: Promise<void> } {
  let given = 0;
  let close = (): void => {};
  const closed = new Promise<void>((resolve) => {
    close = resolve;
  });
  async function* chunks(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        given++;
        yield sample(200_000);
      }
    } finally {
      close();
    }
  }
  return { [Symbol.asyncIterator]: () => chunks(), given: () => given, closed };
}

function compress(chunks: Uint8Array[], options?: GzipOptions): Promise<Uint8Array> {
  return collect(gzip(each(chunks), options));
}

async function* each(chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

async function decompress(bytes: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk.slice());
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

function expectSame(actual: Uint8Array, expected: Uint8Array): void {
  expect(actual.length).toBe(expected.length);
  let at = 0;
  while (at < expected.length && actual[at] === expected[at]) at++;
  expect(at, 'first difference').toBe(expected.length);
}

/** Bytes with something to find for a compressor, though not too much. */
function sample(size: number): Uint8Array {
  let state = 1;
  return new Uint8Array(size).map((_, at) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) | 0;
    return at & 64 ? (state >>> 24) & 31 : (at >> 7) & 255;
  });
}
