import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ByteSource, byteLength, readBytes, readChunks, toStream } from '../../src/bytes/byte-source.ts';
import { atLeast, concatBytes } from '../../src/bytes/chunks.ts';
import { environment, nativeModule } from '../../src/bytes/runtime.ts';
import { StowageError } from '../../src/errors.ts';

const bytes = new TextEncoder().encode('Grüße, 世界 🚢');
const parts = [bytes.subarray(0, 5), new Uint8Array(0), bytes.subarray(5)];

async function* generated(): AsyncGenerator<Uint8Array, void, void> {
  yield* parts;
}
function* generatedAtOnce(): Generator<Uint8Array, void, void> {
  yield* parts;
}
const streamed = (): ReadableStream<Uint8Array> =>
  new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(part);
      controller.close();
    },
  });

/** Each kind of source, whether its size is known, and whether it can be read twice. */
const kinds: [string, () => ByteSource, boolean, boolean][] = [
  ['a Uint8Array', () => bytes, true, true],
  ['a view into a larger buffer', () => concatBytes([bytes, bytes]).subarray(bytes.length), true, true],
  ['an ArrayBuffer', () => bytes.slice().buffer, true, true],
  ['a string', () => 'Grüße, 世界 🚢', true, true],
  ['a Blob', () => new Blob([bytes]), true, true],
  ['an array of chunks', () => parts, true, true],
  ['a Set of chunks', () => new Set(parts), false, true],
  ['a ReadableStream', streamed, false, false],
  ["a Blob's stream", () => new Blob([bytes]).stream(), false, false],
  ['an async generator', generated, false, false],
  ['a generator', generatedAtOnce, false, false],
  ['what readChunks gives', () => readChunks(bytes), false, true],
  ['what toStream gives', () => toStream(generated()), false, false],
];

describe('every kind of source', () => {
  for (const [name, make, sized, again] of kinds) {
    test(`${name} gives its bytes`, async () => {
      expect(await readBytes(make())).toEqual(bytes);
    });

    test(`${name} ${sized ? 'has a size before it is read' : 'has no size before it is read'}`, () => {
      expect(byteLength(make())).toBe(sized ? bytes.length : undefined);
    });

    test(`${name} ${again ? 'can be read twice' : 'cannot be read twice, and says so'}`, async () => {
      const source = make();
      await readBytes(source);
      if (again) expect(await readBytes(source)).toEqual(bytes);
      else expect(await code(readBytes(source))).toBe('BODY_CONSUMED');
    });

    test(`${name} is not read when the signal is aborted already`, async () => {
      const reason = new Error('never mind');
      await expect(readBytes(make(), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    });
  }

  test('an empty source of any kind gives no chunk', async () => {
    for (const source of ['', new Uint8Array(0), new Blob([]), [], [new Uint8Array(0)], toStream(readChunks([]))]) {
      for await (const _ of readChunks(source)) expect.unreachable();
    }
  });
});

describe('what is no source of bytes', () => {
  test('is refused by name', async () => {
    for (const source of [undefined, null, 5, {}, () => {}, [1, 2, 3], ['text'], new Uint16Array(2), [null]]) {
      expect(await code(readBytes(source as unknown as ByteSource))).toBe('ARGUMENT_INVALID');
    }
  });

  test('bytes whose buffer was transferred are refused, and not taken for empty ones', async () => {
    const transferred = (): Uint8Array<ArrayBuffer> => {
      const gone = bytes.slice();
      structuredClone(gone.buffer, { transfer: [gone.buffer] });
      return gone;
    };
    const given = transferred();
    async function* late(): AsyncGenerator<Uint8Array> {
      yield bytes;
      yield given;
    }
    const sources = [transferred(), transferred().buffer, [bytes, transferred()], late()];
    for (const source of sources) {
      expect(byteLength(source)).toBe(undefined);
      expect(await code(readBytes(source))).toBe('ARGUMENT_INVALID');
    }
    const empty = new Uint8Array(new ArrayBuffer(0));
    expect((await readBytes([empty, bytes.subarray(3, 3), bytes])).length).toBe(bytes.length);
  });

  test('a stream of text is refused, and cancelled', async () => {
    let cancelled = false;
    const stream = new ReadableStream({
      pull: (controller) => controller.enqueue('text'),
      cancel() {
        cancelled = true;
      },
    });
    expect(await code(readBytes(stream as ReadableStream<Uint8Array>))).toBe('ARGUMENT_INVALID');
    expect(cancelled).toBe(true);
  });

  test('a stream that someone holds, or has read from, is refused', async () => {
    const held = streamed();
    const reader = held.getReader();
    expect(await code(readBytes(held))).toBe('BODY_CONSUMED');
    await reader.read();
    reader.releaseLock();
    expect(await code(readBytes(held))).toBe('BODY_CONSUMED');
  });
});

describe('leaving early', () => {
  test('cancels a stream, unlocks it, and waits until it is released', async () => {
    let released = false;
    const stream = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(bytes),
      cancel: async () => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        released = true;
      },
    });
    for await (const _ of readChunks(stream)) break;
    expect(released).toBe(true);
    expect(stream.locked).toBe(false);
  });

  test('returns an iterator, of either kind', async () => {
    let returned = 0;
    async function* asynchronous(): AsyncGenerator<Uint8Array, void, void> {
      try {
        for (;;) yield bytes;
      } finally {
        returned++;
      }
    }
    function* synchronous(): Generator<Uint8Array, void, void> {
      try {
        for (;;) yield bytes;
      } finally {
        returned++;
      }
    }
    for await (const _ of readChunks(asynchronous())) break;
    for await (const _ of readChunks(synchronous())) break;
    for await (const _ of atLeast(readChunks(asynchronous()), 1000)) break;
    const stream = toStream(readChunks(asynchronous()));
    const reader = stream.getReader();
    await reader.read();
    await reader.cancel();
    expect(returned).toBe(4);
  });

  test('errors of the source come through as they are', async () => {
    const broken = new Error('the disk is gone');
    const stream = new ReadableStream<Uint8Array>({
      pull() {
        throw broken;
      },
    });
    async function* generator(): AsyncGenerator<Uint8Array, void, void> {
      yield bytes;
      throw broken;
    }
    await expect(readBytes(stream)).rejects.toBe(broken);
    await expect(readBytes(generator())).rejects.toBe(broken);
    await expect(readBytes(toStream(generator()))).rejects.toBe(broken);
  });
});

describe('abort', () => {
  test('ends a read that hangs, at once, with the reason, and releases the source', async () => {
    const reason = new Error('the user left');
    let released = 0;
    const release = (): Promise<void> => {
      released++;
      return new Promise(() => {});
    };
    const sources: ByteSource[] = [
      new ReadableStream<Uint8Array>({ pull: () => new Promise(() => {}), cancel: release }),
      {
        [Symbol.asyncIterator]: () => ({
          next: () => new Promise<IteratorResult<Uint8Array>>(() => {}),
          return: async () => {
            await release();
            return { done: true as const, value: undefined };
          },
        }),
      },
    ];
    for (const source of sources) {
      const controller = new AbortController();
      const reading = readBytes(source, { signal: controller.signal });
      setTimeout(() => controller.abort(reason), 5);
      await expect(reading).rejects.toBe(reason);
    }
    expect(released).toBe(2);
  });

  test('between two chunks, it ends the loop with the next one', async () => {
    const reason = new Error('enough');
    for (const make of [() => [bytes, bytes, bytes], () => toStream(readChunks([bytes, bytes, bytes]))]) {
      const controller = new AbortController();
      let seen = 0;
      const reading = (async () => {
        for await (const _ of readChunks(make(), { signal: controller.signal })) {
          seen++;
          controller.abort(reason);
        }
      })();
      await expect(reading).rejects.toBe(reason);
      expect(seen).toBe(1);
    }
  });
});

describe('readBytes', () => {
  test('refuses what is larger than its maximum, and reads no further', async () => {
    let given = 0;
    async function* endless(): AsyncGenerator<Uint8Array, void, void> {
      for (;;) {
        given++;
        yield new Uint8Array(10);
      }
    }
    const error = await readBytes(endless(), { maximum: 25, limit: 'jsonBytes', what: 'the index' }).catch((e) => e);
    expect(error).toBeInstanceOf(StowageError);
    expect(error.code).toBe('LIMIT_EXCEEDED');
    expect(error.details).toMatchObject({ limit: 'jsonBytes', maximum: 25 });
    expect(error.message).toContain('the index');
    expect(given).toBe(3);
    expect(await code(readBytes(bytes, { maximum: bytes.length - 1 }))).toBe('LIMIT_EXCEEDED');
    expect(await readBytes(bytes, { maximum: bytes.length })).toEqual(bytes);
  });
});

describe('atLeast', () => {
  test('keeps the bytes, and gives chunks of the minimum but for the last', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 30 }),
        fc.integer({ min: 1, max: 50 }),
        async (chunks, minimum) => {
          const joined: Uint8Array[] = [];
          for await (const chunk of atLeast(readChunks(chunks), minimum)) joined.push(chunk);
          expect(concatBytes([...joined, new Uint8Array(0)])).toEqual(concatBytes([...chunks, new Uint8Array(0)]));
          for (const chunk of joined.slice(0, -1)) expect(chunk.length).toBeGreaterThanOrEqual(minimum);
          expect(joined.at(-1)?.length).not.toBe(0);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('a source that reuses its buffer does not change what was joined', async () => {
    async function* reusing(): AsyncGenerator<Uint8Array, void, void> {
      const buffer = new Uint8Array(3);
      for (let value = 1; value <= 4; value++) yield buffer.fill(value);
    }
    expect(await readBytes(atLeast(reusing(), 6))).toEqual(Uint8Array.of(1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4));
  });
});

describe('toStream', () => {
  test('reads nothing ahead of its reader', async () => {
    let given = 0;
    async function* counting(): AsyncGenerator<Uint8Array, void, void> {
      for (;;) {
        given++;
        yield bytes;
      }
    }
    const reader = toStream(counting()).getReader();
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(given).toBe(0);
    await reader.read();
    await reader.read();
    expect(given).toBe(2);
    await reader.cancel();
  });

  test('read as chunks, is as any other stream: locked while it is read, closed and spent afterwards', async () => {
    let released = 0;
    let unread = 0;
    async function* generator(): AsyncGenerator<Uint8Array, void, void> {
      try {
        yield* parts;
        yield new Uint8Array(0);
      } finally {
        released++;
      }
    }
    const make = (): ReadableStream<Uint8Array> => toStream(generator(), () => unread++);
    const whole = make();
    for await (const _ of readChunks(whole)) expect(whole.locked).toBe(true);
    const left = make();
    for await (const _ of readChunks(left)) break;
    expect(released).toBe(2);
    for (const stream of [whole, left]) {
      expect(stream.locked).toBe(false);
      expect(await code(readBytes(stream))).toBe('BODY_CONSUMED');
      expect(await stream.getReader().read()).toEqual({ done: true, value: undefined });
    }
    const begun = make();
    const reader = begun.getReader();
    await reader.read();
    reader.releaseLock();
    expect(await code(readBytes(begun))).toBe('BODY_CONSUMED');
    const reason = new Error('enough');
    await expect(readBytes(make(), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(unread).toBe(0);
    const chunks = readChunks(make(), { signal: AbortSignal.abort(reason) });
    await expect(chunks[Symbol.asyncIterator]().next()).rejects.toBe(reason);
    expect([released, unread]).toEqual([2, 1]);
  });

  test('ends with the reason of a signal, however its source hangs', async () => {
    const reason = new Error('the user left');
    const controller = new AbortController();
    async function* hanging(): AsyncGenerator<Uint8Array, void, void> {
      yield bytes;
      await new Promise(() => {});
    }
    const reading = readBytes(toStream(hanging()), { signal: controller.signal });
    setTimeout(() => controller.abort(reason), 5);
    await expect(reading).rejects.toBe(reason);
  });

  test('can be the body of a response', async () => {
    const body = await new Response(toStream(readChunks(parts))).arrayBuffer();
    expect(new Uint8Array(body)).toEqual(bytes);
  });
});

describe('runtime', () => {
  test('what a runtime lacks is undefined, and no error', () => {
    expect(environment('STOWAGE_SURELY_NOT_SET')).toBeUndefined();
    expect(environment('__proto__')).toBeUndefined();
    expect(nativeModule('node:nothing' as 'node:zlib')).toBeUndefined();
  });

  test('an environment that may not be read is as good as none', () => {
    const global = globalThis as { process?: unknown };
    const own = Object.getOwnPropertyDescriptor(globalThis, 'process');
    const denying = {
      get env(): never {
        throw new Error('Requires env access');
      },
      getBuiltinModule(): never {
        throw new Error('No such built-in module');
      },
    };
    try {
      Object.defineProperty(global, 'process', { value: denying, configurable: true, writable: true });
      expect(environment('SOURCE_DATE_EPOCH')).toBeUndefined();
      expect(nativeModule('node:crypto')).toBeUndefined();
      Object.defineProperty(global, 'process', { value: undefined, configurable: true, writable: true });
      expect(environment('SOURCE_DATE_EPOCH')).toBeUndefined();
      expect(nativeModule('node:crypto')).toBeUndefined();
    } finally {
      if (own === undefined) delete global.process;
      else Object.defineProperty(global, 'process', own);
    }
  });
});

async function code(promise: Promise<unknown>): Promise<string | undefined> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(StowageError);
  return (error as StowageError).code;
}
