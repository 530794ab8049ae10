import fc from 'fast-check';
import { expect, test } from 'vitest';
import { StowageError } from '../../src/errors.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { checkStoragePath } from '../../src/storage/path.ts';
import { hostilePaths, paths, pattern, put, same, storageContract } from './contract.ts';

storageContract('MemoryStorage', async () => ({ storage: new MemoryStorage(), cleanup: async () => {} }));

test('two storages in memory share nothing', async () => {
  const [left, right] = [new MemoryStorage(), new MemoryStorage()];
  await put(left, 'a', '1');
  expect(await paths(left)).toEqual(['a']);
  expect(await paths(right)).toEqual([]);
});

test('a file in memory, written in any chunks, gives the same bytes in every range', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 9000 }), { maxLength: 20 }),
      fc.nat({ max: 100_000 }),
      fc.nat({ max: 100_000 }),
      async (sizes, start, length) => {
        const storage = new MemoryStorage();
        const content = pattern(sizes.reduce((sum, size) => sum + size, 0));
        const file = await storage.create();
        let offset = 0;
        for (const size of sizes) {
          await file.write(content.subarray(offset, offset + size));
          offset += size;
        }
        await file.commit('file');
        const read = await new Response(await storage.read('file', { start, end: start + length })).arrayBuffer();
        expect(same(new Uint8Array(read), content.subarray(start, start + length))).toBe(true);
      },
    ),
    { numRuns: 200 },
  );
});

test('a storage path is refused with a sentence that shows it, shortened where it is long', () => {
  for (const path of hostilePaths) {
    let error: unknown;
    try {
      checkStoragePath(path);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(StowageError);
    const { code, message, details } = error as StowageError;
    expect(code).toBe('PATH_INVALID');
    expect(details.path).toBe(path);
    expect(message.length).toBeLessThan(400);
  }
});

test('a storage path of 4,096 bytes is taken, one of 4,097 is not, however they are spelt', () => {
  for (const unit of ['x', 'ü', '日', '😀']) {
    const size = new TextEncoder().encode(unit).length;
    const longest = unit.repeat(Math.floor(4096 / size)) + 'x'.repeat(4096 % size);
    checkStoragePath(longest);
    expect(() => checkStoragePath(`${longest}x`)).toThrow(StowageError);
  }
});
