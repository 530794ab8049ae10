/** Holds the portable inflater to zlib, bit by bit, and the native gunzip to leaving nothing behind in the process. */
import { randomBytes } from 'node:crypto';
import { constants, deflateRawSync, gzipSync, inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readBytes, readChunks } from '../../src/bytes/byte-source.ts';
import { concatBytes } from '../../src/bytes/chunks.ts';
import { gunzip } from '../../src/bytes/gunzip.ts';
import { Inflater, inflateInputBytes } from '../../src/bytes/inflate.ts';

const strategies = [
  constants.Z_DEFAULT_STRATEGY,
  constants.Z_FILTERED,
  constants.Z_HUFFMAN_ONLY,
  constants.Z_RLE,
  constants.Z_FIXED,
];

describe('the portable inflater', () => {
  test('gives what zlib compressed, by any level and strategy, and ends at the very byte', () => {
    fc.assert(
      fc.property(
        content,
        fc.integer({ min: 0, max: 9 }),
        fc.constantFrom(...strategies),
        fc.integer({ min: 1, max: inflateInputBytes }),
        (bytes, level, strategy, step) => {
          const deflated = deflateRawSync(bytes, { level, strategy, memLevel: 1 + (step % 9) });
          const { output, used } = inflate(concatBytes([deflated, new Uint8Array(9).fill(255)]), step);
          expect(Buffer.compare(output, bytes)).toBe(0);
          expect(used).toBe(deflated.length);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('takes what zlib takes, with the same result, and refuses what zlib refuses', () => {
    let taken = 0;
    fc.assert(
      fc.property(
        content,
        fc.constantFrom(...strategies),
        fc.array(
          fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), flip: fc.integer({ min: 1, max: 255 }) }),
          {
            minLength: 1,
            maxLength: 3,
          },
        ),
        fc.integer({ min: 1, max: 500 }),
        (bytes, strategy, changes, step) => {
          const deflated = deflateRawSync(bytes.subarray(0, 3_000), { strategy });
          // Most changes early on, where the codes are described.
          for (const { at, flip } of changes) deflated[Math.floor(at ** 3 * (deflated.length - 1))]! ^= flip;
          taken += sameAsZlib(deflated, step) ? 1 : 0;
        },
      ),
      { numRuns: 2_000 },
    );
    expect(taken).toBeGreaterThan(20);
  });

  test('random bytes are taken and refused as zlib does', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 1, max: 50 }), (bytes, step) => {
        // A last block with codes of its own: all the rest is up to chance.
        sameAsZlib(bytes, step);
        sameAsZlib(concatBytes([Uint8Array.of(5), bytes]), step);
      }),
      { numRuns: 3_000 },
    );
  });
});

describe('the native gunzip', () => {
  test('leaves no handle and no late error behind when it is left, aborted or fails', async () => {
    const late: unknown[] = [];
    const note = (error: unknown): number => late.push(error);
    process.on('uncaughtException', note);
    process.on('unhandledRejection', note);
    try {
      const packed = gzipSync(randomBytes(3_000_000));
      for (let round = 0; round < 20; round++) {
        const controller = new AbortController();
        const damaged = Uint8Array.from(packed);
        damaged[Math.floor((packed.length * round) / 20)]! ^= 85;
        for await (const _ of gunzip(readChunks(packed), { engine: 'native' })) break;
        await readBytes(gunzip(readChunks(damaged), { engine: 'native' })).catch(() => {});
        const reading = readBytes(gunzip(readChunks(packed), { engine: 'native', signal: controller.signal }));
        setTimeout(() => controller.abort(), round);
        await reading.catch((error: Error) => expect(error.name).toBe('AbortError'));
      }
    } finally {
      await new Promise((resolve) => setTimeout(resolve, 50));
      process.off('uncaughtException', note);
      process.off('unhandledRejection', note);
    }
    expect(late).toEqual([]);
    expect(process.getActiveResourcesInfo().filter((name) => /zlib/i.test(name))).toEqual([]);
  });

  test('reads a gigabyte of zeros within constant memory, and stops a slow bomb by its ratio', async () => {
    const member = gzipSync(new Uint8Array(64 * 1024 * 1024));
    let members = 0;
    async function* bomb(): AsyncGenerator<Uint8Array, void, void> {
      for (;;) {
        members++;
        yield member;
      }
    }
    let size = 0;
    const before = process.memoryUsage().rss;
    let most = before;
    const reading = (async () => {
      for await (const chunk of gunzip(bomb(), { engine: 'native' })) {
        size += chunk.length;
        if (size % (1 << 24) < chunk.length) most = Math.max(most, process.memoryUsage().rss);
      }
    })();
    await expect(reading).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED', details: { limit: 'inflateRatio' } });
    expect(size).toBeGreaterThanOrEqual(1024 ** 3);
    expect(members).toBeLessThan(20);
    expect(most - before).toBeLessThan(256 * 1024 * 1024);
  });
});

const content = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc.tuple(fc.nat(300_000), fc.integer({ min: 1, max: 255 })).map(([length, spread]) => {
    const bytes = new Uint8Array(length);
    for (let index = 0; index < length; index++) bytes[index] = (Math.imul(index * index, 2654435761) >>> 9) % spread;
    return bytes;
  }),
);

/** Whether both take it; fails where they disagree. */
function sameAsZlib(deflated: Uint8Array, step: number): boolean {
  const expected = attempt(() => inflateRawSync(deflated));
  const actual = attempt(() => inflate(deflated, step).output);
  expect(actual === undefined).toBe(expected === undefined);
  if (expected === undefined || actual === undefined) return false;
  expect(Buffer.compare(actual, expected)).toBe(0);
  return true;
}

function attempt(task: () => Uint8Array): Uint8Array | undefined {
  try {
    return task();
  } catch {
    return undefined;
  }
}

function inflate(deflated: Uint8Array, step: number): { output: Uint8Array; used: number } {
  const inflater = new Inflater();
  const pieces: Uint8Array[] = [];
  let used = 0;
  while (!inflater.ended) {
    if (used === deflated.length) throw new Error('cut short');
    const piece = deflated.subarray(used, used + step);
    inflater.push(piece);
    for (let output = inflater.read(); output !== undefined; output = inflater.read()) pieces.push(output);
    used += piece.length - (inflater.ended ? inflater.rest() : 0);
  }
  return { output: concatBytes([...pieces, new Uint8Array(0)]), used };
}
