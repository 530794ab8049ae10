/** What every storage adapter promises, as tests: run over each of them, in whatever runtime it lives. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readBytes } from '../../src/bytes/byte-source.ts';
import { StowageError } from '../../src/errors.ts';
import type { Storage } from '../../src/storage/storage.ts';

/** Registers the tests. `open` gives an empty storage; `cleanup` removes it with all that it holds. */
export function storageContract(
  name: string,
  open: () => Promise<{ storage: Storage; cleanup(): Promise<void> }>,
): void {
  describe(`${name} keeps the storage contract`, () => {
    let storage: Storage;
    let cleanup: () => Promise<void>;

    beforeEach(async () => {
      ({ storage, cleanup } = await open());
    });
    afterEach(() => cleanup());

    test('a file becomes visible on commit, whole, and not before', async () => {
      const file = await storage.create();
      await file.write(bytes('hello '));
      expect(await storage.stat('a/b/c.txt')).toBe(undefined);
      expect(await paths(storage)).toEqual([]);
      await file.write(bytes('world'));
      await file.commit('a/b/c.txt');
      expect(await storage.stat('a/b/c.txt')).toEqual({ size: 11 });
      expect(await text(storage, 'a/b/c.txt')).toBe('hello world');
      expect(await paths(storage)).toEqual(['a/b/c.txt']);
    });

    test('a commit replaces what was there, and the old file stays whole until then', async () => {
      await put(storage, 'index.json', 'old and longer');
      const file = await storage.create();
      await file.write(bytes('new'));
      expect(await text(storage, 'index.json')).toBe('old and longer');
      await file.commit('index.json');
      expect(await text(storage, 'index.json')).toBe('new');
      expect(await storage.stat('index.json')).toEqual({ size: 3 });
      expect(await paths(storage)).toEqual(['index.json']);
    });

    test('an aborted file leaves nothing and changes nothing', async () => {
      await put(storage, 'kept', 'kept');
      const file = await storage.create();
      await file.write(bytes('gone'));
      await file.abort();
      await file.abort();
      expect(await paths(storage)).toEqual(['kept']);
      expect(await text(storage, 'kept')).toBe('kept');
    });

    test('a pending file is good for one commit or abort: write and commit throw after either, abort does not', async () => {
      const committed = await storage.create();
      await committed.write(bytes('1'));
      await committed.commit('one');
      const aborted = await storage.create();
      await aborted.abort();
      for (const file of [committed, aborted]) {
        expect(await failure(() => file.write(bytes('2')))).toBe('ARGUMENT_INVALID');
        expect(await failure(() => file.commit('two'))).toBe('ARGUMENT_INVALID');
        await file.abort();
      }
      expect(await paths(storage)).toEqual(['one']);
      expect(await text(storage, 'one')).toBe('1');
    });

    test('a commit that fails forgets the file', async () => {
      const file = await storage.create();
      await file.write(bytes('x'));
      expect(await failure(() => file.commit('../x'))).toBe('PATH_INVALID');
      expect(await failure(() => file.commit('x'))).toBe('ARGUMENT_INVALID');
      await file.abort();
      expect(await paths(storage)).toEqual([]);
    });

    test('a file whose path was named in advance goes there, large or small, and nowhere else', async () => {
      for (const size of [10, 6_000_000]) {
        const path = `known/${size}`;
        const file = await storage.create({ path });
        await file.write(pattern(size));
        expect(await storage.stat(path)).toBe(undefined);
        await file.commit(path);
        expect(await storage.stat(path)).toEqual({ size });
        const other = await storage.create({ path: 'here' });
        await other.write(pattern(size));
        expect(await failure(() => other.commit('there'))).toBe('ARGUMENT_INVALID');
        const aborted = await storage.create({ path: 'here' });
        await aborted.write(pattern(size));
        await aborted.abort();
      }
      expect(await paths(storage)).toEqual(['known/10', 'known/6000000']);
    });

    test('a file may be empty', async () => {
      const file = await storage.create();
      await file.write(new Uint8Array(0));
      await file.commit('empty');
      await (await storage.create()).commit('never/written');
      expect(await storage.stat('empty')).toEqual({ size: 0 });
      expect(await storage.stat('never/written')).toEqual({ size: 0 });
      expect(await text(storage, 'empty')).toBe('');
      expect(await text(storage, 'empty', { start: 3 })).toBe('');
      expect(await paths(storage)).toEqual(['empty', 'never/written']);
    });

    test('a file that need not be durable is a file like any other', async () => {
      const file = await storage.create({ path: 'for/a while', durable: false });
      await file.write(bytes('content'));
      await file.commit('for/a while');
      await storage.move('for/a while', 'for/longer');
      expect(await text(storage, 'for/longer')).toBe('content');
      expect(await paths(storage)).toEqual(['for/longer']);
    });

    test('ranges are half-open, and cut to the size', async () => {
      await put(storage, 'digits', '0123456789');
      expect(await text(storage, 'digits', {})).toBe('0123456789');
      expect(await text(storage, 'digits', { start: 3 })).toBe('3456789');
      expect(await text(storage, 'digits', { end: 4 })).toBe('0123');
      expect(await text(storage, 'digits', { start: 2, end: 5 })).toBe('234');
      expect(await text(storage, 'digits', { start: 0, end: 10 })).toBe('0123456789');
      expect(await text(storage, 'digits', { start: 9, end: 10 })).toBe('9');
      expect(await text(storage, 'digits', { start: 8, end: 1000 })).toBe('89');
      expect(await text(storage, 'digits', { start: 5, end: 5 })).toBe('');
      expect(await text(storage, 'digits', { start: 0, end: 0 })).toBe('');
      expect(await text(storage, 'digits', { start: 10 })).toBe('');
      expect(await text(storage, 'digits', { start: 1000, end: 2000 })).toBe('');
    });

    test('a range that is none is refused', async () => {
      await put(storage, 'digits', '0123456789');
      for (const range of [{ start: -1 }, { end: -1 }, { start: 5, end: 4 }, { start: 0.5 }, { start: Number.NaN }]) {
        expect(await failure(() => storage.read('digits', range))).toBe('ARGUMENT_INVALID');
      }
    });

    test('what is not there, and what is only a directory, has no stat, and reading it rejects with NOT_FOUND', async () => {
      await put(storage, 'directory/file', 'x');
      for (const path of [
        'missing',
        'missing/too',
        'directory',
        'directory/other',
        'directory/file/under',
        'Directory2',
      ]) {
        expect(await storage.stat(path)).toBe(undefined);
        expect(await failure(() => storage.read(path))).toBe('NOT_FOUND');
        expect(await failure(() => storage.read(path, { start: 1, end: 2 }))).toBe('NOT_FOUND');
      }
    });

    test('list gives every path that starts with the prefix, be it a directory or a part of a name', async () => {
      const all = [
        'a',
        'ab/c',
        'ab/d/e',
        'ab/d/f',
        'abc',
        'blobs/sha256/00',
        'blobs/sha256/01',
        'blobs/sha512/02',
        'ü/日本 1.txt',
      ];
      for (const path of all) await put(storage, path, path);
      expect(await paths(storage)).toEqual(all);
      for (const prefix of [
        'a',
        'ab',
        'ab/',
        'ab/d',
        'ab/d/',
        'ab/d/e',
        'blobs/sha',
        'blobs/sha256/0',
        'ü',
        'ü/日',
        'z',
        'a/',
        'abc/',
      ]) {
        expect(await paths(storage, prefix)).toEqual(all.filter((path) => path.startsWith(prefix)));
      }
      for (const path of all) expect(await text(storage, path)).toBe(path);
    });

    test('list gives nothing for a prefix that no path can have', async () => {
      await put(storage, 'a', 'x');
      for (const prefix of ['/', '../', './', '..', 'a//', 'a/../', '../../../../etc/', 'C:\\']) {
        expect(await paths(storage, prefix)).toEqual([]);
      }
    });

    test('a listing can be left half way, and files deleted during it', async () => {
      for (let number = 0; number < 20; number++) await put(storage, `many/${number}`, 'x');
      for await (const path of storage.list('')) {
        expect(path.startsWith('many/')).toBe(true);
        break;
      }
      let seen = 0;
      for await (const path of storage.list('many/')) {
        seen++;
        await storage.delete(path);
      }
      expect(seen).toBe(20);
      expect(await paths(storage)).toEqual([]);
    });

    test('delete removes a file and nothing else; what is not there is no error', async () => {
      await put(storage, 'a/b', '1');
      await put(storage, 'a/c', '2');
      await storage.delete('a/b');
      await storage.delete('a/b');
      await storage.delete('a');
      await storage.delete('missing/altogether');
      await storage.delete('a/c/under-a-file');
      expect(await paths(storage)).toEqual(['a/c']);
      expect(await storage.stat('a/b')).toBe(undefined);
      await put(storage, 'a/b', 'again');
      expect(await text(storage, 'a/b')).toBe('again');
    });

    test('a file that is moved has the new name alone, in place of what had it', async () => {
      for (const content of [bytes('small'), pattern(6_000_000)]) {
        await put(storage, 'from/here', content);
        await put(storage, 'to/there', 'old, and longer than some');
        await put(storage, 'kept', 'kept');
        await storage.move('from/here', 'to/there');
        expect(await storage.stat('from/here')).toBe(undefined);
        expect(same(await all(await storage.read('to/there')), content)).toBe(true);
        await storage.move('to/there', 'new/directory/of it/file');
        await storage.move('new/directory/of it/file', 'new/directory/of it/file');
        expect(same(await all(await storage.read('new/directory/of it/file')), content)).toBe(true);
        expect(await paths(storage)).toEqual(['kept', 'new/directory/of it/file']);
      }
    });

    test('what is not there cannot be moved, and nothing is lost by trying', async () => {
      await put(storage, 'kept', 'kept');
      for (const path of ['missing', 'missing/too', 'kept/under-a-file']) {
        expect(await failure(() => storage.move(path, 'kept'))).toBe('NOT_FOUND');
        expect(await failure(() => storage.move(path, path))).toBe('NOT_FOUND');
      }
      expect(await text(storage, 'kept')).toBe('kept');
    });

    test('of many that move one file, one does, and the others find nothing or the file where it was', async () => {
      await put(storage, 'contended', 'content');
      const moves = Array.from({ length: 8 }, (_, at) =>
        storage.move('contended', `place/${at % 2}`).then(
          () => 'moved',
          (error: unknown) => (error as StowageError).code,
        ),
      );
      for (const outcome of await Promise.all(moves)) expect(['moved', 'NOT_FOUND']).toContain(outcome);
      const found = await paths(storage, 'place/');
      expect(found.length).toBeGreaterThan(0);
      for (const path of found) expect(await text(storage, path)).toBe('content');
      expect(await storage.stat('contended')).toBe(undefined);
    });

    test('every path that could lead out of the storage is refused with PATH_INVALID, whatever is done with it', async () => {
      await put(storage, 'a', 'x');
      for (const path of hostilePaths) {
        expect(await failure(() => storage.stat(path))).toBe('PATH_INVALID');
        expect(await failure(() => storage.read(path))).toBe('PATH_INVALID');
        expect(await failure(() => storage.delete(path))).toBe('PATH_INVALID');
        expect(await failure(() => storage.move(path, 'b'))).toBe('PATH_INVALID');
        expect(await failure(() => storage.move('a', path))).toBe('PATH_INVALID');
        const file = await storage.create();
        await file.write(bytes('evil'));
        expect(await failure(() => file.commit(path))).toBe('PATH_INVALID');
      }
      expect(await paths(storage)).toEqual(['a']);
    });

    test('names that look odd but are plain files keep their bytes', async () => {
      const odd = [
        '...',
        '..a',
        'a..',
        '.hidden',
        'with space',
        'sha256:abc',
        '__proto__',
        'constructor',
        '%2e%2e',
        '-rf',
        '日本語',
        '😀',
        'é',
      ];
      for (const path of odd) await put(storage, path, `in ${path}`);
      expect(await paths(storage)).toEqual([...odd].sort());
      for (const path of odd) expect(await text(storage, path)).toBe(`in ${path}`);
    });

    test('the caller may use its chunk again once write has resolved', async () => {
      for (const size of [10, 1000, 65_536, 300_000]) {
        const chunk = new Uint8Array(size);
        const file = await storage.create();
        for (let round = 1; round <= 5; round++) {
          chunk.fill(round);
          await file.write(chunk);
        }
        chunk.fill(99);
        await file.commit('reused');
        const read = await all(await storage.read('reused'));
        expect(read.length).toBe(5 * size);
        for (let round = 1; round <= 5; round++) {
          expect(read[(round - 1) * size]).toBe(round);
          expect(read[round * size - 1]).toBe(round);
        }
      }
    });

    test('a chunk that is a window on a larger buffer is written as the window', async () => {
      const buffer = pattern(200_000);
      const file = await storage.create();
      await file.write(buffer.subarray(5, 17));
      await file.write(buffer.subarray(1000, 150_000));
      await file.commit('windows');
      const read = await all(await storage.read('windows'));
      expect(same(read.subarray(0, 12), buffer.subarray(5, 17))).toBe(true);
      expect(same(read.subarray(12), buffer.subarray(1000, 150_000))).toBe(true);
    });

    test('what a reader does to its chunks does not change the file', async () => {
      const content = pattern(100_000);
      await put(storage, 'file', content);
      const reader = (await storage.read('file')).getReader();
      for (let next = await reader.read(); !next.done; next = await reader.read()) next.value.fill(0);
      expect(same(await all(await storage.read('file')), content)).toBe(true);
    });

    test('ten megabytes in odd chunks come back as they were, whole and in parts', async () => {
      const content = pattern(10_000_019);
      const file = await storage.create();
      for (let offset = 0, step = 1; offset < content.length; step = (step * 7 + 13) % 400_009) {
        await file.write(content.subarray(offset, offset + step));
        offset += step;
      }
      await file.commit('large');
      expect(await storage.stat('large')).toEqual({ size: content.length });
      expect(same(await all(await storage.read('large')), content)).toBe(true);
      for (const [start, end] of [
        [0, 1],
        [65_535, 65_537],
        [1_048_575, 1_048_577],
        [262_144, 524_288],
        [999_999, 9_000_001],
        [10_000_018, 10_000_019],
      ] as const) {
        expect(same(await all(await storage.read('large', { start, end })), content.subarray(start, end))).toBe(true);
      }
    });

    test('a reader that stops half way harms nobody', async () => {
      await put(storage, 'large', pattern(3_000_000));
      const unread = await storage.read('large');
      await unread.cancel('never mind');
      const reader = (await storage.read('large')).getReader();
      expect((await reader.read()).done).toBe(false);
      await reader.cancel('enough');
      expect((await reader.read()).done).toBe(true);
      expect((await all(await storage.read('large'))).length).toBe(3_000_000);
      await storage.delete('large');
      expect(await paths(storage)).toEqual([]);
    });

    test('several readers of one file do not disturb one another', async () => {
      const content = pattern(2_000_000);
      await put(storage, 'shared', content);
      const reads = await Promise.all(
        [0, 1, 500_000, 1_999_999].map(async (start) => all(await storage.read('shared', { start }))),
      );
      expect(reads.map((read) => read.length)).toEqual([2_000_000, 1_999_999, 1_500_000, 1]);
      expect(same(reads[2]!, content.subarray(500_000))).toBe(true);
    });

    test('files that are written at the same time do not mix, and of the same path the last one committed stays', async () => {
      const files = await Promise.all(
        [1, 2, 3, 4, 5, 6, 7, 8].map(async (number) => ({ number, file: await storage.create() })),
      );
      for (let round = 0; round < 5; round++) {
        await Promise.all(files.map(({ number, file }) => file.write(new Uint8Array(50_000).fill(number))));
      }
      const last = files.pop()!;
      await Promise.all(files.map(({ file }) => file.commit('same/path')));
      const one = await all(await storage.read('same/path'));
      expect(one.length).toBe(250_000);
      expect(one.every((byte) => byte === one[0])).toBe(true);
      await last.file.commit('same/path');
      expect((await all(await storage.read('same/path')))[0]).toBe(8);
      expect(await paths(storage)).toEqual(['same/path']);
    });

    test('many new files in the same new directory, all at once', async () => {
      await Promise.all(
        Array.from({ length: 40 }, (_, number) => put(storage, `new/deep/er/${number % 4}/${number}`, `${number}`)),
      );
      expect((await paths(storage, 'new/deep/')).length).toBe(40);
    });

    test('exclusive gives the result of its task, and lets nobody of the same name in meanwhile', async () => {
      let inside = 0;
      let most = 0;
      const task = async (result: number): Promise<number> => {
        inside++;
        most = Math.max(most, inside);
        await new Promise((resolve) => setTimeout(resolve, 2));
        inside--;
        return result;
      };
      const results = await Promise.all([1, 2, 3, 4, 5].map((number) => storage.exclusive('name', () => task(number))));
      expect(results).toEqual([1, 2, 3, 4, 5]);
      expect(most).toBe(1);
    });

    test('holders of different names do not wait for one another, one within the other too', async () => {
      const result = await storage.exclusive('outer', () =>
        storage.exclusive('in/ner: any text ä', async () => 'both'),
      );
      expect(result).toBe('both');
    });

    test('a task that fails passes its error on and releases the name', async () => {
      const error = new Error('of the task');
      await expect(storage.exclusive('name', () => Promise.reject(error))).rejects.toBe(error);
      await expect(
        storage.exclusive('name', () => {
          throw error;
        }),
      ).rejects.toBe(error);
      expect(await storage.exclusive('name', async () => 'free')).toBe('free');
      expect(await paths(storage)).toEqual([]);
    });

    test('a hundred increments under exclusive, all at once, count to a hundred', async () => {
      await put(storage, 'counter', '0');
      const increment = async (): Promise<void> => {
        const value = Number(await text(storage, 'counter'));
        await put(storage, 'counter', String(value + 1));
      };
      await Promise.all(Array.from({ length: 100 }, () => storage.exclusive('counter', increment)));
      expect(await text(storage, 'counter')).toBe('100');
      expect(await paths(storage)).toEqual(['counter']);
    });
  });
}

/** Paths that every adapter refuses. */
export const hostilePaths: readonly string[] = [
  '',
  '/',
  '/etc/passwd',
  '//host/share',
  '.',
  '..',
  './a',
  '../a',
  'a/..',
  'a/../../b',
  'a/./b',
  'a//b',
  'a/',
  'a/b/',
  '../../../../../../../../tmp/x',
  'a\\b',
  '..\\a',
  'C:',
  'C:\\Windows',
  'c:/windows',
  'a\0b',
  'a\0',
  '\0',
  '\ud800',
  'a/\udc80/b',
  '\udc00\ud800',
  'x'.repeat(4097),
  'ü'.repeat(2049),
  `${'ab/'.repeat(1500)}c`,
];

/** The storage's paths, sorted. */
export async function paths(storage: Storage, prefix = ''): Promise<string[]> {
  const found: string[] = [];
  for await (const path of storage.list(prefix)) found.push(path);
  return found.sort();
}

export async function put(storage: Storage, path: string, content: string | Uint8Array): Promise<void> {
  const file = await storage.create();
  await file.write(typeof content === 'string' ? bytes(content) : content);
  await file.commit(path);
}

export async function text(storage: Storage, path: string, range?: { start?: number; end?: number }): Promise<string> {
  return new TextDecoder().decode(await all(await storage.read(path, range)));
}

/** Bytes that repeat at no power of two. */
export function pattern(size: number): Uint8Array {
  const content = new Uint8Array(size);
  for (let index = 0; index < size; index++) content[index] = (index * 31 + (index >>> 8) * 7) % 251;
  return content;
}

/** Whether two arrays hold the same bytes: `toEqual` takes seconds over megabytes. */
export function same(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}

async function all(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return readBytes(stream);
}

function bytes(content: string): Uint8Array {
  return new TextEncoder().encode(content);
}

/** The code with which the call fails; anything but a `StowageError` fails the test. */
async function failure(call: () => Promise<unknown>): Promise<string> {
  const error = await call().then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(StowageError);
  const { code, message } = error as StowageError;
  expect(message.endsWith('.')).toBe(true);
  return code;
}
