import { describe, expect, test } from 'vitest';
import { readTar, type TarEntry } from '../../src/tar/read-tar.ts';
import { type TarSource, writeTar } from '../../src/tar/write-tar.ts';
import { bytesOf, encode, end, entry, isSame, join } from './archives.ts';

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return parts;
}

/** A source that tells whether it was released, and gives control before every chunk. */
function source<T>(items: readonly T[]): AsyncIterable<T> & { released: number; given: number } {
  return {
    released: 0,
    given: 0,
    [Symbol.asyncIterator](): AsyncIterator<T> {
      const next = async (): Promise<IteratorResult<T>> => {
        await Promise.resolve();
        return this.given < items.length
          ? { done: false, value: items[this.given++]! }
          : { done: true, value: undefined };
      };
      const finish = async (): Promise<IteratorResult<T>> => {
        this.released++;
        return { done: true, value: undefined };
      };
      return { next, return: finish };
    },
  };
}

function pieces(bytes: Uint8Array, size: number): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += size) parts.push(bytes.subarray(at, at + size));
  return parts;
}

const large = Uint8Array.from({ length: 300_000 }, (_, index) => index % 253);
const sources: TarSource[] = [
  entry('a', { body: bytesOf('A') }),
  entry('large', { body: large }),
  entry('d', { type: 'directory' }),
  entry('z', { body: bytesOf('Z') }),
];
const archive = encode(...sources);

async function rejection(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error('nothing was refused');
}

describe('writeTar', () => {
  test('gives the same archive for arrays, generators and async bodies, in chunks of at least 64 KiB', async () => {
    const streamed = (): TarSource[] =>
      sources.map(({ body, ...header }) => ({ ...header, body: body && source(pieces(body as Uint8Array, 1000)) }));
    for (const entries of [sources, source(sources), new Set(streamed()), source(streamed())]) {
      const parts = await collect(writeTar(entries));
      expect(isSame(join(...parts), archive)).toBe(true);
      for (const part of parts.slice(0, -1)) expect(part.length).toBeGreaterThanOrEqual(65536);
    }
  });

  test('fills the blocks again that its reader is done with, and nothing else', async () => {
    const before = large.slice();
    const memory = new Set<ArrayBufferLike>();
    const parts: Uint8Array[] = [];
    const small = Array.from({ length: 1000 }, (_, at) => entry(`f${at}`, { body: large.subarray(0, 1000) }));
    for await (const chunk of writeTar([...sources, ...small], { reuse: true })) {
      parts.push(chunk.slice());
      memory.add(chunk.buffer);
    }
    expect(isSame(join(...parts), encode(...sources, ...small))).toBe(true);
    expect(isSame(large, before)).toBe(true);
    expect(memory.size).toBeLessThan(6);
  });

  test('what is wrong with a body is told with the path of its file', async () => {
    const spent = source([bytesOf('x')])[Symbol.asyncIterator]();
    const generator = { ...spent, [Symbol.asyncIterator]: () => generator } as AsyncIterableIterator<Uint8Array>;
    await collect(writeTar([entry('first', { size: 1, body: generator })]));
    const again = await rejection(collect(writeTar([entry('second', { size: 1, body: generator })])));
    expect(again).toMatchObject({ code: 'BODY_CONSUMED', details: { path: 'second' } });
    const wrong = ['text'] as unknown as Iterable<Uint8Array>;
    const refused = await rejection(collect(writeTar([entry('third', { size: 4, body: wrong })])));
    expect(refused).toMatchObject({ code: 'ARGUMENT_INVALID', details: { path: 'third' } });
  });

  test('thousands of small files take no turn of the event loop each', async () => {
    const count = 5000;
    const entries = Array.from({ length: count }, (_, index) => entry(`f${index}`, { body: bytesOf('small') }));
    let turns = 0;
    let isDone = false;
    const counting = (async (): Promise<void> => {
      while (!isDone) {
        turns++;
        await Promise.resolve();
      }
    })();
    await collect(writeTar(entries));
    isDone = true;
    await counting;
    expect(turns).toBeLessThan(count);
  });

  test('a body of the wrong size is refused by path, and everything is released', async () => {
    const body = source([bytesOf('abc'), bytesOf('def'), bytesOf('ghi')]);
    const entries = source<TarSource>([entry('a'), { ...entry('big', { size: 4 }), body }, entry('b')]);
    const error = await rejection(collect(writeTar(entries)));
    expect(error).toMatchObject({ code: 'SIZE_MISMATCH', details: { path: 'big', expected: 4, actual: 6 } });
    expect([body.released, entries.released]).toEqual([1, 1]);
    const short = await rejection(collect(writeTar([entry('short', { size: 4 })])));
    expect(short).toMatchObject({ code: 'SIZE_MISMATCH', details: { path: 'short' } });
  });

  test('leaving early releases the entries', async () => {
    const entries = source(sources);
    for await (const _ of writeTar(entries)) break;
    expect(entries.released).toBe(1);
  });

  test('an aborted signal rejects with its reason and releases everything', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const body = source([large, large, large]);
    const entries = source<TarSource>([{ ...entry('big', { size: 3 * large.length }), body }]);
    const work = (async (): Promise<void> => {
      for await (const _ of writeTar(entries, { signal: controller.signal })) controller.abort(reason);
    })();
    expect(await rejection(work)).toBe(reason);
    expect([body.released, entries.released]).toEqual([1, 1]);
    expect(await rejection(collect(writeTar(sources, { signal: AbortSignal.abort(reason) })))).toBe(reason);
  });

  test("an entry source's own failure comes through as it is", async () => {
    const failure = new Error('disk on fire');
    async function* failing(): AsyncGenerator<TarSource> {
      yield entry('a');
      throw failure;
    }
    expect(await rejection(collect(writeTar(failing())))).toBe(failure);
  });
});

describe('readTar', () => {
  test('gives entries and bodies, whatever the chunks', async () => {
    for (const size of [1000, 65536, archive.length]) {
      const seen: unknown[] = [];
      for await (const { header, body, offset, bodyOffset } of readTar(source(pieces(archive, size)))) {
        const content = join(...(await collect(body)));
        expect(isSame(archive.subarray(bodyOffset, bodyOffset + content.length), content)).toBe(true);
        seen.push([header.path, offset, content.length]);
      }
      expect(seen).toEqual([
        ['a', 0, 1],
        ['large', 1024, 300_000],
        ['d', 1024 + 512 + 300_032, 0],
        ['z', 1024 + 512 + 300_032 + 512, 1],
      ]);
    }
  });

  test('passes over bodies that nobody reads, or not to their end', async () => {
    const paths: string[] = [];
    for await (const { header, body } of readTar(source(pieces(archive, 5000)))) {
      paths.push(header.path);
      if (header.path === 'large') for await (const _ of body) break;
    }
    expect(paths).toEqual(['a', 'large', 'd', 'z']);
  });

  test('a body is there once, and until the next entry is asked for', async () => {
    const held: TarEntry[] = [];
    for await (const item of readTar(source(pieces(archive, 5000)))) {
      held.push(item);
      if (item.header.path === 'a') {
        await collect(item.body);
        expect(await rejection(collect(item.body))).toMatchObject({ code: 'BODY_CONSUMED', details: { path: 'a' } });
      }
    }
    for (const { body } of held) expect(await rejection(collect(body))).toMatchObject({ code: 'BODY_CONSUMED' });
    const entries = readTar(source(pieces(archive, 5000)));
    await entries.next();
    const body = (await entries.next()).value!.body[Symbol.asyncIterator]();
    await body.next();
    await entries.next();
    expect(await rejection(Promise.resolve(body.next()))).toMatchObject({
      code: 'BODY_CONSUMED',
      details: { path: 'large' },
    });
  });

  test('leaving early releases the source, reading on reads it to its end', async () => {
    const left = source(pieces(archive, 5000));
    for await (const _ of readTar(left)) break;
    expect([left.released, left.given]).toEqual([1, 1]);
    const trailed = source([...pieces(archive, 5000), end, end]);
    for await (const _ of readTar(trailed));
    expect([trailed.released, trailed.given]).toEqual([0, pieces(archive, 5000).length + 2]);
  });

  test('a broken archive releases the source and says what it was', async () => {
    const broken = source([archive.subarray(0, 1024), new Uint8Array(512).fill(1), end]);
    const work = (async (): Promise<void> => {
      for await (const _ of readTar(broken, { what: 'layer 3' }));
    })();
    expect(await rejection(work)).toMatchObject({ code: 'TAR_INVALID', message: expect.stringMatching(/^layer 3: /) });
    expect(broken.released).toBe(1);
  });

  test('an aborted signal rejects with its reason even while the source hangs', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    let released = 0;
    const hanging: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise(() => {}),
        return: async () => ({ done: true, value: ++released }),
      }),
    };
    const work = readTar(hanging, { signal: controller.signal }).next();
    controller.abort(reason);
    expect(await rejection(work)).toBe(reason);
    expect(released).toBe(1);
  });

  test('limits reach the decoder', async () => {
    const work = (async (): Promise<void> => {
      for await (const _ of readTar(source([archive]), { limits: { tarEntries: 2 } }));
    })();
    expect(await rejection(work)).toMatchObject({ code: 'LIMIT_EXCEEDED', details: { limit: 'tarEntries' } });
  });
});
